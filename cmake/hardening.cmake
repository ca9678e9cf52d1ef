# What distributions harden their programs with, where the build is optimised and nothing instruments it: a fuzzer or a
# sanitizer finds more without. The paths of the checkout stay out of the programs: two builds of one state are the same bytes.
include(CheckPIESupported)
check_pie_supported()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT VMFERRY_SANITIZE AND NOT VMFERRY_FUZZ)
  add_compile_options($<$<CONFIG:RelWithDebInfo,Release>:-U_FORTIFY_SOURCE>
                      $<$<CONFIG:RelWithDebInfo,Release>:-D_FORTIFY_SOURCE=2>
                      $<$<CONFIG:RelWithDebInfo,Release>:-fstack-protector-strong>
                      $<$<CONFIG:RelWithDebInfo,Release>:-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.>)
  add_link_options($<$<CONFIG:RelWithDebInfo,Release>:LINKER:-z,relro,-z,now>)
endif()
