# What `cmake --install` puts where, by component:
#
#   development  headers, the archive of kvcache, find_package(plimsoll), pkg-config
#   server       the command and what describes it
#   cuda         the module that the command loads where there is a GPU
#
# C libraries, the Python package, completions and others add to these where they are made.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/plimsoll)
install(TARGETS plimsoll_kvcache EXPORT plimsollTargets
        ARCHIVE COMPONENT development
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/plimsoll COMPONENT development)
install(EXPORT plimsollTargets NAMESPACE plimsoll:: DESTINATION ${package_dir}
        COMPONENT development)
configure_package_config_file(${PROJECT_SOURCE_DIR}/tools/cmake/plimsollConfig.cmake.in
  ${PROJECT_BINARY_DIR}/plimsollConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/plimsollConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/plimsollConfig.cmake
              ${PROJECT_BINARY_DIR}/plimsollConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT development)

# The .pc file finds its prefix from where it lies, so an installed tree can be moved.
file(RELATIVE_PATH PLIMSOLL_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${PROJECT_SOURCE_DIR}/tools/cmake/plimsoll.pc.in ${PROJECT_BINARY_DIR}/plimsoll.pc
               @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/plimsoll.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT development)

if(TARGET plimsoll)
  install(TARGETS plimsoll RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT server)
  install(FILES ${PROJECT_SOURCE_DIR}/tools/schema/plan.schema.json
                ${PROJECT_SOURCE_DIR}/tools/packaging/grafana/plimsoll.json
                ${PROJECT_SOURCE_DIR}/tools/packaging/prometheus/plimsoll.rules.yml
          DESTINATION ${CMAKE_INSTALL_DATADIR}/plimsoll COMPONENT server)
  install(FILES ${PROJECT_SOURCE_DIR}/tools/packaging/systemd/plimsoll.service
                ${PROJECT_SOURCE_DIR}/tools/packaging/systemd/plimsoll.socket
          DESTINATION lib/systemd/system COMPONENT server)
  install(FILES ${PROJECT_SOURCE_DIR}/tools/packaging/systemd/plimsoll.conf
          DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/plimsoll-server/examples COMPONENT server)
endif()
if(TARGET plimsoll_cuda)
  install(TARGETS plimsoll_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT cuda)
endif()
