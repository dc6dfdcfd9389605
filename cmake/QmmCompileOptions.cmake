# SPDX-License-Identifier: Apache-2.0
#
# Options of every target of this tree, and `qmm_warnings`, which a target links PRIVATE to be held to the house's warnings.

# The numeric contract allows one rounding per written operation: no a * b + c in one instruction, no fast-math.
add_compile_options(-ffp-contract=off)

if(QMM_SANITIZE)
    add_compile_options(-fsanitize=${QMM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${QMM_SANITIZE})
endif()

# A name that nobody defines is found when libqmm.so is linked, not by its users. Sanitizers come in later by design.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND NOT QMM_SANITIZE)
    add_link_options(-Wl,--no-undefined)
endif()

# An instrumented library needs a runtime that the programs of others do not bring, and exports its symbols.
set(QMM_INSTRUMENTED OFF)
if(QMM_SANITIZE OR CMAKE_C_FLAGS MATCHES "--coverage|-fsanitize")
    set(QMM_INSTRUMENTED ON)
endif()

if(QMM_OPENMP)
    find_package(OpenMP REQUIRED COMPONENTS C)
endif()

add_library(qmm_warnings INTERFACE)
target_compile_options(qmm_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
    $<$<BOOL:${QMM_WERROR}>:-Werror>)
if(NOT QMM_OPENMP)
    target_compile_options(qmm_warnings INTERFACE -Wno-unknown-pragmas) # #pragma omp is a comment then
endif()
