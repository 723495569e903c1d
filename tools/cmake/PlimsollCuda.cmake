# CUDA is a choice of source files. PLIMSOLL_HAS_CUDA says whether a toolkit was found; only the
# module libplimsoll_cuda.so is built with it, and no program links it.
set(PLIMSOLL_HAS_CUDA OFF)
if(NOT PLIMSOLL_CUDA STREQUAL "OFF" AND PLIMSOLL_TOOLS)
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "75-real;80-real;90-real;90-virtual")
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    # CMake before 3.25.2 does not know nvcc's spelling of C++20.
    if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    endif()
    set(CMAKE_CUDA_STANDARD 20)
    set(CMAKE_CUDA_EXTENSIONS OFF)
    find_package(CUDAToolkit REQUIRED)
    set(PLIMSOLL_HAS_CUDA ON)
  elseif(PLIMSOLL_CUDA STREQUAL "ON")
    message(FATAL_ERROR "PLIMSOLL_CUDA=ON but no CUDA compiler was found; set CUDACXX or PATH")
  endif()
endif()
message(STATUS "CUDA module: ${PLIMSOLL_HAS_CUDA}")

# Headers alone are enough to run kernels on the CPU, which tests do (tests/emulator).
find_package(CUDAToolkit QUIET)
find_path(PLIMSOLL_CUDA_INCLUDE_DIR cuda_fp8.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
