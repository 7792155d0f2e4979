# What `cmake --install` puts in place: the program, its model for the demo, the libraries, their headers, PivotalConfig.cmake;
# and the packages that cpack makes of it.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/pivotal DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
set(libraries search)
if(NOT PIVOTAL_SEARCH_ONLY)
  list(APPEND libraries pivotal)
endif()
foreach(library ${libraries})
  install(TARGETS pivotal_${library}_library EXPORT Pivotal-${library} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT Pivotal-${library} NAMESPACE Pivotal:: DESTINATION ${PIVOTAL_INSTALL_CMAKE})
endforeach()
configure_package_config_file(cmake/PivotalConfig.cmake.in ${PROJECT_BINARY_DIR}/PivotalConfig.cmake
                              INSTALL_DESTINATION ${PIVOTAL_INSTALL_CMAKE})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/PivotalConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/PivotalConfig.cmake ${PROJECT_BINARY_DIR}/PivotalConfigVersion.cmake
              cmake/Need.cmake cmake/SearchDependencies.cmake cmake/TorchDependencies.cmake cmake/LibTorch.cmake
        DESTINATION ${PIVOTAL_INSTALL_CMAKE})
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(PIVOTAL_SEARCH_ONLY)
  return()
endif()

install(TARGETS pivotal RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
set_target_properties(pivotal PROPERTIES
  INSTALL_RPATH "\$ORIGIN/../${CMAKE_INSTALL_LIBDIR};\$ORIGIN/../lib/bundled;${PIVOTAL_TORCH_RPATH};/opt/libtorch/lib")
target_link_options(pivotal PRIVATE -Wl,--disable-new-dtags)  # the path holds for what its libraries need, too
# Scripts that let a shell complete commands; the program writes them.
install(CODE "foreach(shell bash zsh fish)
  execute_process(COMMAND $<TARGET_FILE:pivotal> completion \${shell} OUTPUT_FILE ${PROJECT_BINARY_DIR}/completion.\${shell} COMMAND_ERROR_IS_FATAL ANY)
endforeach()")
install(FILES ${PROJECT_BINARY_DIR}/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME pivotal)
install(FILES ${PROJECT_BINARY_DIR}/completion.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions RENAME _pivotal)
install(FILES ${PROJECT_BINARY_DIR}/completion.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME pivotal.fish)
foreach(world tiny small)
  install(DIRECTORY experiments/${world}/model experiments/${world}/problems DESTINATION ${CMAKE_INSTALL_DATADIR}/pivotal/${world})
endforeach()

# The .deb names Debian's packages; the tarball brings their libraries along (lib/bundled). LibTorch is in neither.
install(CODE "set(program ${CMAKE_INSTALL_BINDIR}/pivotal)")
install(SCRIPT cmake/Bundle.cmake)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_NAME pivotal)
set(CPACK_PACKAGE_CONTACT "The Pivotal developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Pivotal token search and DPO on single tokens, on LibTorch")
set(CPACK_PACKAGE_FILE_NAME pivotal-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS bubblewrap)
configure_file(cmake/PackageConfig.cmake.in ${PROJECT_BINARY_DIR}/PackageConfig.cmake @ONLY)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_BINARY_DIR}/PackageConfig.cmake)
include(CPack)
