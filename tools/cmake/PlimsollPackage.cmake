# Debian packages, one per part; tools/package makes them:
#
#   libplimsoll0        the C libraries            python3-plimsoll   the Python package over them
#   libplimsoll-dev     headers and archives       plimsoll-server    the command and its service
#   plimsoll-cuda       the module for GPUs
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The Plimsoll authors <plimsoll@localhost>")
set(CPACK_PACKAGE_VENDOR "Plimsoll")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "KV-cache capacity for LLM servers")
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/bin)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)

# plimsoll_package(<component> NAME <deb> SECTION <section> TEXT <description> [DEPENDS <deb> ...])
macro(plimsoll_package component)
  cmake_parse_arguments(package "" "NAME;SECTION;TEXT" "DEPENDS" ${ARGN})
  string(TOUPPER ${component} upper)
  list(JOIN package_DEPENDS ", " package_DEPENDS)
  set(CPACK_COMPONENT_${upper}_GROUP ${component})
  set(CPACK_COMPONENT_${upper}_DESCRIPTION "${package_TEXT}")
  set(CPACK_COMPONENT_GROUP_${upper}_DESCRIPTION "${package_TEXT}")
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${package_TEXT}")
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package_NAME})
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${package_SECTION})
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${package_DEPENDS}")
  list(APPEND CPACK_COMPONENTS_ALL ${component})
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE RENAME copyright COMPONENT ${component}
          DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${package_NAME})
endmacro()

set(CPACK_COMPONENTS_ALL)
plimsoll_package(server NAME plimsoll-server SECTION net
  TEXT "The plimsoll command and its service. Says before serving how many sequences fit
in GPU memory, owns the paged KV cache while serving, and answers yes, wait or
never to each request over gRPC.")
plimsoll_package(development NAME libplimsoll-dev SECTION libdevel
  DEPENDS libabsl-dev
  TEXT "Headers and archives: the block pool, the planner and admission to embed in a
serving stack.")
if(TARGET plimsoll_cuda)
  plimsoll_package(cuda NAME plimsoll-cuda SECTION contrib/net
    DEPENDS plimsoll-server
    TEXT "The module for NVIDIA GPUs, loaded by the plimsoll command where there is one.
Takes NVIDIA's driver and cuBLAS, which come from NVIDIA.")
  set(CPACK_DEBIAN_CUDA_PACKAGE_SHLIBDEPS OFF)  # cuBLAS is in no package of Debian's
endif()
include(CPack)
