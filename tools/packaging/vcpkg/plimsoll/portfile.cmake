# The library alone, from the tree that this port lies in:
#
#   vcpkg install plimsoll --overlay-ports=tools/packaging/vcpkg
vcpkg_check_linkage(ONLY_STATIC_LIBRARY)
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../.." ABSOLUTE)

vcpkg_find_acquire_program(PKGCONFIG)
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DPLIMSOLL_TOOLS=OFF
    -DPLIMSOLL_TESTS=OFF
    -DPLIMSOLL_BENCHMARKS=OFF
    -DPLIMSOLL_CUDA=OFF
    "-DPKG_CONFIG_EXECUTABLE=${PKGCONFIG}")
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME plimsoll CONFIG_PATH lib/cmake/plimsoll)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
