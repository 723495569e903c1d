# Debian packages, one per part; tools/package makes them:
#
#   libplimsoll1        the C libraries            python3-plimsoll   the Python package over them
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

# plimsoll_package(<group> COMPONENTS <component> ... NAME <deb> SECTION <section>
#                  TEXT <description> [DEPENDS <deb> ...])
macro(plimsoll_package group)
  cmake_parse_arguments(package "" "NAME;SECTION;TEXT" "COMPONENTS;DEPENDS" ${ARGN})
  string(TOUPPER ${group} upper)
  list(JOIN package_DEPENDS ", " package_DEPENDS)
  foreach(component IN LISTS package_COMPONENTS)
    string(TOUPPER ${component} upper_component)
    set(CPACK_COMPONENT_${upper_component}_GROUP ${group})
    list(APPEND CPACK_COMPONENTS_ALL ${component})
  endforeach()
  set(CPACK_COMPONENT_GROUP_${upper}_DESCRIPTION "${package_TEXT}")
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package_NAME})
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${package_SECTION})
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${package_DEPENDS}")
  list(GET package_COMPONENTS 0 first)
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE RENAME copyright COMPONENT ${first}
          DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${package_NAME})
endmacro()

set(CPACK_COMPONENTS_ALL)
set(this_version "(= ${PROJECT_VERSION})")
plimsoll_package(server COMPONENTS server NAME plimsoll-server SECTION net
  TEXT "The plimsoll command and its service. Says before serving how many sequences fit
in GPU memory, owns the paged KV cache while serving, and answers yes, wait or
never to each request over gRPC.")
plimsoll_package(library COMPONENTS c client NAME libplimsoll1 SECTION libs
  TEXT "Libraries with a C interface: the planner, the block pool and admission in process, and a
client of a server.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
plimsoll_package(development COMPONENTS development NAME libplimsoll-dev SECTION libdevel
  DEPENDS "libplimsoll1 ${this_version}" libabsl-dev
  TEXT "Headers and archives: the block pool, the planner and admission to embed in a serving
stack, in C++ and in C.")
plimsoll_package(python COMPONENTS python NAME python3-plimsoll SECTION python
  DEPENDS "libplimsoll1 ${this_version}" python3
  TEXT "The Python package over the C libraries: a client for routers, plans, the pool and
admission in process.")
set(CPACK_DEBIAN_PYTHON_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PYTHON_PACKAGE_CONTROL_EXTRA
  ${PROJECT_SOURCE_DIR}/tools/packaging/debian/postinst
  ${PROJECT_SOURCE_DIR}/tools/packaging/debian/prerm)
if(TARGET plimsoll_cuda)
  plimsoll_package(cuda COMPONENTS cuda NAME plimsoll-cuda SECTION contrib/net
    DEPENDS "plimsoll-server ${this_version}"
    TEXT "The module for NVIDIA GPUs, loaded by the plimsoll command where there is one. Takes
NVIDIA's driver and cuBLAS, which come from NVIDIA.")
  set(CPACK_DEBIAN_CUDA_PACKAGE_SHLIBDEPS OFF)  # cuBLAS is in no package of Debian's
endif()
include(CPack)
