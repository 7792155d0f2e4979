# Part of an install: into the stage of a tarball, the libraries that the program needs go too, but for LibTorch, the C and C++
# libraries and what loads them.
if("$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}" MATCHES "/_CPack_Packages/.*/TGZ/")
  set(stage $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX})
  file(MAKE_DIRECTORY ${stage}/lib/bundled)
  execute_process(COMMAND ldd ${stage}/${program} OUTPUT_VARIABLE libraries)
  string(REGEX MATCHALL "=> (/usr)?/lib/[^ ]+" libraries "${libraries}")
  foreach(library ${libraries})
    string(SUBSTRING ${library} 3 -1 library)
    get_filename_component(name ${library} NAME)
    if(NOT name MATCHES "^(ld-linux.*|lib(c|m|dl|rt|pthread|stdc\\+\\+|gcc_s|gomp|resolv|util))\\.so")
      file(REAL_PATH ${library} file)
      file(COPY_FILE ${file} ${stage}/lib/bundled/${name})
      file(RPATH_REMOVE FILE ${stage}/lib/bundled/${name})  # the program's own path leads back here
    endif()
  endforeach()
endif()
