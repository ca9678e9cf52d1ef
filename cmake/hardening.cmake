# What distributions harden their programs with, where the build is optimised and nothing instruments it: a fuzzer or a
# sanitizer finds more without. Not CMAKE_POSITION_INDEPENDENT_CODE: that means -fPIC, and with it fewer calls are inlined.
# The checkout's path stays out of the programs: two builds of one state are the same bytes.
if(NOT VMFERRY_SANITIZE AND NOT VMFERRY_FUZZ)
  set(release $<CONFIG:RelWithDebInfo,Release>)
  add_compile_options("$<${release}:-fPIE;-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2;-fstack-protector-strong>"
                      "$<${release}:-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.>")
  add_link_options("$<${release}:-pie;LINKER:-z,relro,-z,now>")
endif()
