# pivotal_need(PACKAGE ...): find_package(PACKAGE ...) for what Pivotal cannot do without. While Pivotal is built, a missing package
# ends the configuration; for an install, find_package(Pivotal) reads the names in `pivotal_missing`. Part of an install too.
macro(pivotal_need package)
  find_package(${package} ${ARGN} ${pivotal_how})
  if(NOT ${package}_FOUND)
    list(APPEND pivotal_missing ${package})
  endif()
endmacro()
# pivotal_need_module(NAME MODULE): the same for a module of pkg-config, as the target PkgConfig::NAME.
macro(pivotal_need_module name module)
  if(PkgConfig_FOUND)
    pkg_check_modules(${name} ${pivotal_how} IMPORTED_TARGET ${module})
  endif()
  if(NOT ${name}_FOUND)
    list(APPEND pivotal_missing ${module})
  endif()
endmacro()
