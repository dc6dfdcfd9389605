# SPDX-License-Identifier: Apache-2.0
#
# What `cmake --install` lays down: header, both libraries, CMake package, pkg-config file, command, documents.
# The installed tree may be moved: nothing in it holds the prefix.

include(CMakePackageConfigHelpers)

set(QMM_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/qmm)
install(FILES include/qmm/qmm.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/qmm)
install(TARGETS qmm qmm_static EXPORT qmmTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT qmmTargets NAMESPACE qmm:: DESTINATION ${QMM_PACKAGE_DIR})

configure_package_config_file(cmake/qmmConfig.cmake.in ${PROJECT_BINARY_DIR}/qmmConfig.cmake
    INSTALL_DESTINATION ${QMM_PACKAGE_DIR} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break what an earlier one promised.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qmmConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qmmConfig.cmake ${PROJECT_BINARY_DIR}/qmmConfigVersion.cmake
    DESTINATION ${QMM_PACKAGE_DIR})

# qmm.pc finds its prefix from its own place, unless the packager gave absolute folders.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    set(QMM_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
else()
    file(RELATIVE_PATH up /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
    string(REGEX REPLACE "/$" "" up "${up}")
    set(QMM_PC_PREFIX "\${pcfiledir}/${up}")
endif()
foreach(dir IN ITEMS LIBDIR INCLUDEDIR)
    if(IS_ABSOLUTE ${CMAKE_INSTALL_${dir}})
        set(QMM_PC_${dir} ${CMAKE_INSTALL_${dir}})
    else()
        set(QMM_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
    endif()
endforeach()
set(QMM_PC_LIBS_PRIVATE "-lm -ldl")
if(QMM_OPENMP)
    string(APPEND QMM_PC_LIBS_PRIVATE " ${OpenMP_C_FLAGS}")
endif()
configure_file(cmake/qmm.pc.in ${PROJECT_BINARY_DIR}/qmm.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/qmm.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET qmm_cli)
    file(RELATIVE_PATH libraries /prefix/${CMAKE_INSTALL_BINDIR} /prefix/${CMAKE_INSTALL_LIBDIR})
    set_target_properties(qmm_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${libraries}")
    install(TARGETS qmm_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

foreach(document IN ITEMS LICENSE README.md CHANGELOG.md docs/numerics.md)
    if(EXISTS ${PROJECT_SOURCE_DIR}/${document})
        install(FILES ${document} DESTINATION ${CMAKE_INSTALL_DOCDIR})
    endif()
endforeach()
