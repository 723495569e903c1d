# The installed package: find_package(plimsoll) gives plimsoll::kvcache.
include(CMakePackageConfigHelpers)
install(TARGETS plimsoll_kvcache EXPORT plimsollTargets
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/plimsoll)
install(EXPORT plimsollTargets NAMESPACE plimsoll::
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/plimsoll)
configure_package_config_file(${PROJECT_SOURCE_DIR}/tools/cmake/plimsollConfig.cmake.in
  ${PROJECT_BINARY_DIR}/plimsollConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/plimsoll)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/plimsollConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/plimsollConfig.cmake
              ${PROJECT_BINARY_DIR}/plimsollConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/plimsoll)
if(TARGET plimsoll)
  install(TARGETS plimsoll RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES ${PROJECT_SOURCE_DIR}/tools/schema/plan.schema.json
          DESTINATION ${CMAKE_INSTALL_DATADIR}/plimsoll)
endif()
if(TARGET plimsoll_cuda)
  install(TARGETS plimsoll_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
