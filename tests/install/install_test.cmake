# Installs into SCRATCH, builds the consumer against it with no knowledge of this tree, runs it.
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "failed (${failed}): ${ARGV}")
  endif()
endfunction()

file(REMOVE_RECURSE ${SCRATCH})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/prefix)
run(${CMAKE_COMMAND} -G Ninja -S ${CONSUMER} -B ${SCRATCH}/build
    -DCMAKE_PREFIX_PATH=${SCRATCH}/prefix -DCMAKE_CXX_COMPILER=${COMPILER})
run(${CMAKE_COMMAND} --build ${SCRATCH}/build)
file(STRINGS ${SCRATCH}/build/build.ninja warnings REGEX "-Werror")
if(warnings)
  message(FATAL_ERROR "our warning flags reached the consumer: ${warnings}")
endif()
execute_process(COMMAND ${SCRATCH}/build/consumer OUTPUT_VARIABLE said RESULT_VARIABLE failed)
if(failed OR NOT said MATCHES "100 blocks promised")
  message(FATAL_ERROR "the consumer said (${failed}): ${said}")
endif()
message(STATUS "consumer said: ${said}")

# The tree is moved, and a compiler with pkg-config alone builds the same program.
file(RENAME ${SCRATCH}/prefix ${SCRATCH}/moved)
file(GLOB_RECURSE pc ${SCRATCH}/moved/plimsoll.pc)
get_filename_component(pc_dir "${pc}" DIRECTORY)
set(ENV{PKG_CONFIG_PATH} "${pc_dir}")
execute_process(COMMAND pkg-config --cflags --libs plimsoll OUTPUT_VARIABLE pc_flags
                OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(pc_flags UNIX_COMMAND "${pc_flags}")
run(${COMPILER} -std=c++20 ${CONSUMER}/main.cc -o ${SCRATCH}/with_pkg_config ${pc_flags})
execute_process(COMMAND ${SCRATCH}/with_pkg_config OUTPUT_VARIABLE said RESULT_VARIABLE failed)
if(failed OR NOT said MATCHES "100 blocks promised")
  message(FATAL_ERROR "the consumer built with pkg-config said (${failed}): ${said}")
endif()

# So does a C compiler the example in C, against the shared library.
set(in_c ${SCRATCH}/in_c)
execute_process(COMMAND pkg-config --cflags --libs plimsoll_c OUTPUT_VARIABLE pc_flags
                OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(pc_flags UNIX_COMMAND "${pc_flags}")
if(FLAGS)
  list(APPEND pc_flags -fsanitize=${FLAGS})
endif()
run(${C_COMPILER} -std=c11 ${C_EXAMPLE} -o ${in_c} ${pc_flags})
get_filename_component(lib_dir "${pc_dir}" DIRECTORY)
execute_process(COMMAND ${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${lib_dir} ${in_c}
                OUTPUT_VARIABLE said RESULT_VARIABLE failed)
if(failed OR NOT said MATCHES "1000 tokens lie in 63 blocks")
  message(FATAL_ERROR "the example in C said (${failed}): ${said}")
endif()
