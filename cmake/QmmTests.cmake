# SPDX-License-Identifier: Apache-2.0
#
# How a test is declared. Every test is a program (or a script) that exits 0 if all is well.
# Labels: `thread` is run under ThreadSanitizer, `install` and `packaging` look at what users get.

find_package(PkgConfig REQUIRED)
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

# The Python that has numpy: an active virtual environment, else the system's own (Debian's numpy is only there).
if(NOT QMM_PYTHON)
    foreach(candidate IN ITEMS "$ENV{VIRTUAL_ENV}/bin/python3" /usr/bin/python3 python3)
        execute_process(COMMAND ${candidate} -c "import numpy, sys; print(sys.executable)"
            RESULT_VARIABLE status OUTPUT_VARIABLE python OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
        if(status EQUAL 0)
            set(QMM_PYTHON ${python} CACHE FILEPATH "Python 3 with numpy, for the Python tests" FORCE)
            break()
        endif()
    endforeach()
    if(NOT QMM_PYTHON)
        message(FATAL_ERROR "The tests need Python 3 with numpy (Debian: python3-numpy), or -DQMM_PYTHON=INTERPRETER")
    endif()
endif()

# qmm_add_test(NAME SOURCE ... [LIBRARIES TARGET ...] [ARGUMENTS WORD ...] [LABELS WORD ...] [TIMEOUT SECONDS])
# A C program, linked with cmocka and with LIBRARIES (qmm::qmm_static if none are given: it shows the internal names).
function(qmm_add_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LIBRARIES;ARGUMENTS;LABELS")
    if(NOT arg_LIBRARIES)
        set(arg_LIBRARIES qmm::qmm_static)
    endif()
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/host ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} PkgConfig::CMOCKA qmm_warnings m)
    add_test(NAME ${name} COMMAND ${name} ${arg_ARGUMENTS})
    qmm_set_test_properties(${name} "${arg_LABELS}" "${arg_TIMEOUT}")
endfunction()

# qmm_add_python_test(NAME SCRIPT [ARGUMENTS WORD ...] [LABELS WORD ...] [TIMEOUT SECONDS])
# The script finds the package in PYTHONPATH, the library in QMM_LIBRARY, the tree in QMM_SOURCE_DIR.
function(qmm_add_python_test name script)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "TIMEOUT" "ARGUMENTS;LABELS")
    set(environment
        "PYTHONPATH=${PROJECT_SOURCE_DIR}/python" "PYTHONDONTWRITEBYTECODE=1" "QMM_LIBRARY=$<TARGET_FILE:qmm>"
        "QMM_SOURCE_DIR=${PROJECT_SOURCE_DIR}" ${QMM_PRELOAD_ENVIRONMENT})
    # By way of env, because ThreadSanitizer and AddressSanitizer must be in the interpreter but not in ctest.
    add_test(NAME ${name}
        COMMAND ${CMAKE_COMMAND} -E env ${environment} ${QMM_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${arg_ARGUMENTS})
    qmm_set_test_properties(${name} "python;${arg_LABELS}" "${arg_TIMEOUT}")
endfunction()

# Only the tests of OpenCL look for this machine's OpenCL drivers: what those do is not to be seen in the others. No test
# takes the kernel choices of whoever runs it.
function(qmm_set_test_properties name labels timeout)
    set(environment "QMM_TUNING_FILE=unset:")
    if(NOT "opencl" IN_LIST labels)
        list(APPEND environment "QMM_OPENCL_LIBRARY=set:none")
    endif()
    set_tests_properties(${name} PROPERTIES LABELS "${labels}" ENVIRONMENT_MODIFICATION "${environment}")
    if(timeout)
        set_tests_properties(${name} PROPERTIES TIMEOUT ${timeout})
    endif()
endfunction()

# A sanitized library in an interpreter that is not: its runtime has to be there first. The interpreter's own leaks are
# not ours.
set(QMM_PRELOAD_ENVIRONMENT)
foreach(pair IN ITEMS address:libasan thread:libtsan)
    string(REGEX REPLACE ":.*" "" sanitizer ${pair})
    string(REGEX REPLACE ".*:" "" runtime ${pair})
    if(QMM_SANITIZE MATCHES ${sanitizer} AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=${runtime}.so
            OUTPUT_VARIABLE runtime_file OUTPUT_STRIP_TRAILING_WHITESPACE)
        file(REAL_PATH "${runtime_file}" runtime_file) # libasan.so may be a link
        list(APPEND QMM_PRELOAD_ENVIRONMENT "LD_PRELOAD=${runtime_file}" "ASAN_OPTIONS=detect_leaks=0")
    endif()
endforeach()
