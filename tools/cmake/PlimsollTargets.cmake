# How this project's targets are made. Every target gets the warnings, none exports them.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

add_library(plimsoll_warnings INTERFACE)
target_compile_options(plimsoll_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wconversion;-Wshadow;-Wnon-virtual-dtor;-Werror>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:Clang>>:-Wthread-safety>
  # GCC 12 sees overlap where std::string's operator+ has none (its bug 105651).
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>)
target_compile_definitions(plimsoll_warnings INTERFACE
  $<$<BOOL:${PLIMSOLL_DEBUG_CHECKS}>:PLIMSOLL_DEBUG_CHECKS=1>)

if(PLIMSOLL_SANITIZE)
  add_compile_options(-fsanitize=${PLIMSOLL_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PLIMSOLL_SANITIZE})
endif()

# plimsoll_library(<name>): plimsoll::<name>, one per top-level folder, filled by plimsoll_sources.
function(plimsoll_library name)
  add_library(plimsoll_${name})
  add_library(plimsoll::${name} ALIAS plimsoll_${name})
  target_compile_features(plimsoll_${name} PUBLIC cxx_std_20)
  target_include_directories(plimsoll_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/plimsoll>)
  set_target_properties(plimsoll_${name} PROPERTIES EXPORT_NAME ${name}
                        VERIFY_INTERFACE_HEADER_SETS ON)
  target_compile_options(plimsoll_${name} PRIVATE
    $<$<BOOL:${PLIMSOLL_FUZZERS}>:-fsanitize=fuzzer-no-link>)
  target_link_libraries(plimsoll_${name} PRIVATE $<BUILD_INTERFACE:plimsoll_warnings>)
  set_property(GLOBAL APPEND PROPERTY PLIMSOLL_LIBRARIES plimsoll_${name})
endfunction()

# plimsoll_wire_in(<target> program|library): the messages of the wire come with this target, into
# the program that links it or hidden in a library. A program that had both would register them with
# Protobuf twice, which ends it at its start: CMake refuses to make one.
function(plimsoll_wire_in target where)
  set_target_properties(${target} PROPERTIES INTERFACE_PLIMSOLL_WIRE ${where})
  set_property(TARGET ${target} APPEND PROPERTY COMPATIBLE_INTERFACE_STRING PLIMSOLL_WIRE)
endfunction()

# plimsoll_sources(<name> HEADERS ... SOURCES ...): files of one sub-folder. HEADERS are public:
# installed, and each checked to compile alone. Private headers are named in SOURCES or nowhere.
function(plimsoll_sources name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "HEADERS;SOURCES")
  list(TRANSFORM arg_HEADERS PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  list(TRANSFORM arg_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  target_sources(plimsoll_${name} PRIVATE ${arg_SOURCES})
  target_sources(plimsoll_${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}
                 FILES ${arg_HEADERS})
endfunction()

# Programs whose cases carry the label `core`, and those whose cases carry `threads`.
add_custom_target(core_tests)
add_custom_target(threads_tests)

# plimsoll_test(<name> SOURCES ... LIBRARIES ...): one GoogleTest program; each case is a ctest
# entry. LABELS: `core` runs again under the address sanitizer, `threads` under that of threads:
# more than one runs there, and none of gRPC, whose locks it does not see in the distribution's
# build. DEPENDS: targets the cases run. SERIAL: alone. COMPUTES: the test itself computes for long.
function(plimsoll_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "SERIAL;COMPUTES" "TIMEOUT"
                        "SOURCES;LIBRARIES;LABELS;DEPENDS;DEFINES")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gmock_main plimsoll_warnings)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE ${arg_DEFINES}
    PLIMSOLL_SOURCE_DIR="${PROJECT_SOURCE_DIR}" PLIMSOLL_BINARY_DIR="${PROJECT_BINARY_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if(arg_DEPENDS)
    add_dependencies(${name} ${arg_DEPENDS})
  endif()
  foreach(label core threads)
    if(label IN_LIST arg_LABELS)
      add_dependencies(${label}_tests ${name})
    endif()
  endforeach()
  # What is tested is compiled as ever; most tests run for milliseconds, and compile for seconds.
  if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" AND NOT arg_COMPUTES)
    target_compile_options(${name} PRIVATE -O0)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set(properties TIMEOUT ${arg_TIMEOUT} RUN_SERIAL ${arg_SERIAL})
  if(arg_LABELS)
    # One label, core+threads: a list, or nothing, comes apart on its way to ctest.
    list(JOIN arg_LABELS "+" label)
    list(APPEND properties LABELS ${label})
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 300 PROPERTIES ${properties})
endfunction()

# plimsoll_bench(<name> SOURCES ... LIBRARIES ...): one Google Benchmark program in bin.
function(plimsoll_bench name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBRARIES")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} benchmark::benchmark_main plimsoll_warnings)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
endfunction()
