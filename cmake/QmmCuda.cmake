# SPDX-License-Identifier: Apache-2.0
#
# The compiler of the CUDA kernels. Sets QMM_CUDA_IMAGES_BUILT, QMM_NVCC, QMM_NVCC_MAJOR and QMM_CUDA_ARCHITECTURE_LIST.
# nvcc is only called, never enabled as a language: device code is all it compiles, and nothing is linked with CUDA.

set(QMM_CUDA AUTO CACHE STRING
    "Compile the CUDA kernels: AUTO (where nvcc is found), ON, or OFF (the backend is there, but finds no device)")
set_property(CACHE QMM_CUDA PROPERTY STRINGS AUTO ON OFF)

# Every generation that nvcc 13 knows. 90a and not 90: Hopper's own instructions. The PTX is what devices get that are in
# none of these families (11.0, and whatever comes); of sm_80, because the instructions of the fastest portable kernels
# begin there.
set(QMM_CUDA_ARCHITECTURES "75;80;86;89;90a;100;120;80-virtual" CACHE STRING
    "Devices to compile the CUDA kernels for, by compute capability: 90a is machine code, 80-virtual PTX, `native` the GPU here")

set(qmm_nvcc_oldest 12.8) # the first that knows sm_100 and sm_120

# Sets `reason` if nvcc is missing or of no use.
function(qmm_find_nvcc reason)
    if(DEFINED ENV{CUDACXX} AND NOT QMM_NVCC)
        set(QMM_NVCC "$ENV{CUDACXX}" CACHE FILEPATH "NVIDIA's compiler of the CUDA kernels")
    endif()
    file(GLOB wheels ${PROJECT_SOURCE_DIR}/build/cuda-toolkit/nvidia/cu*) # ./bootstrap --with-cuda puts them there
    find_program(QMM_NVCC NAMES nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH ${wheels} PATHS /usr/local/cuda PATH_SUFFIXES bin
        DOC "NVIDIA's compiler of the CUDA kernels")
    if(NOT EXISTS "${QMM_NVCC}")
        set(${reason} "nvcc was not found" PARENT_SCOPE)
        return()
    endif()
    execute_process(COMMAND ${QMM_NVCC} --version OUTPUT_VARIABLE text ERROR_QUIET)
    string(REGEX MATCH "release ([0-9]+)\\.[0-9]+" version "${text}")
    string(REPLACE "release " "" version "${version}")
    if(NOT version OR version VERSION_LESS qmm_nvcc_oldest)
        set(${reason} "${QMM_NVCC} is of CUDA '${version}', and ${qmm_nvcc_oldest} is the oldest that will do" PARENT_SCOPE)
        return()
    endif()
    # It calls the host's C++ compiler, which may be missing, or not to its liking.
    file(WRITE ${PROJECT_BINARY_DIR}/CMakeFiles/qmm_nvcc.cu "#include <stdint.h>\nextern \"C\" __global__ void k(int *x) { *x = 1; }\n")
    execute_process(
        COMMAND ${QMM_NVCC} ${qmm_nvcc_flags} -fatbin -arch=sm_80 -o CMakeFiles/qmm_nvcc.fatbin CMakeFiles/qmm_nvcc.cu
        WORKING_DIRECTORY ${PROJECT_BINARY_DIR} RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
    if(NOT status EQUAL 0)
        string(STRIP "${text}" text)
        set(${reason} "${QMM_NVCC} does not work here: ${text}" PARENT_SCOPE)
        return()
    endif()
    string(REGEX MATCH "^[0-9]+" major ${version})
    set(QMM_NVCC_MAJOR ${major} PARENT_SCOPE)
endfunction()

# The architectures of this machine's GPUs, by the program that comes with their driver.
function(qmm_native_architectures list)
    execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
        RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${text}")
    if(NOT status EQUAL 0 OR NOT capabilities)
        message(FATAL_ERROR "QMM_CUDA_ARCHITECTURES is native, but nvidia-smi finds no GPU here")
    endif()
    list(TRANSFORM capabilities REPLACE "\\." "")
    list(TRANSFORM capabilities REPLACE "^90$" "90a")
    list(REMOVE_DUPLICATES capabilities)
    set(${list} ${capabilities} PARENT_SCOPE)
endfunction()

# What every kernel is compiled with. The numeric contract: no fusion of a * b + c; division is IEEE by default.
set(qmm_nvcc_flags -std=c++17 -O3 -fmad=false -allow-unsupported-compiler)

set(QMM_CUDA_IMAGES_BUILT OFF)
if(QMM_CUDA)
    set(reason)
    qmm_find_nvcc(reason)
    if(reason AND QMM_CUDA STREQUAL "AUTO")
        message(STATUS "qmm: without CUDA kernels: ${reason}")
    elseif(reason)
        message(FATAL_ERROR "QMM_CUDA=${QMM_CUDA}, but ${reason}. Install the CUDA toolkit and put its bin folder on PATH, "
            "or set CUDA_HOME, or -DQMM_NVCC=FILE; or let ./bootstrap --with-cuda build fetch the compiler.")
    else()
        set(QMM_CUDA_IMAGES_BUILT ON)
        set(QMM_CUDA_ARCHITECTURE_LIST ${QMM_CUDA_ARCHITECTURES})
        if(QMM_CUDA_ARCHITECTURES STREQUAL "native")
            qmm_native_architectures(QMM_CUDA_ARCHITECTURE_LIST)
        endif()
        message(STATUS "qmm: CUDA kernels by ${QMM_NVCC} for ${QMM_CUDA_ARCHITECTURE_LIST}")
    endif()
endif()
