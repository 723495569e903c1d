# plimsoll_embed(<target> <Name> <file>): builds the text of `file` into `target`, as the function
# `std::string_view Name()` of namespace plimsoll. The file is read again when it changes.
#
# Run as a script (cmake -P), this file writes the source of one such function.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${FILE}" text)
  string(FIND "${text}" ")~plimsoll~\"" clash)
  if(NOT clash EQUAL -1)
    message(FATAL_ERROR "${FILE}: holds the mark that ends the text")
  endif()
  file(WRITE "${OUTPUT}" "#include <string_view>

namespace plimsoll {
std::string_view ${NAME}();
std::string_view ${NAME}() { return R\"~plimsoll~(${text})~plimsoll~\"; }
}  // namespace plimsoll
")
  return()
endif()

set(PLIMSOLL_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})

function(plimsoll_embed target name file)
  cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set(output ${CMAKE_CURRENT_BINARY_DIR}/embedded/${name}.cc)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DFILE=${file} -DNAME=${name} -DOUTPUT=${output}
            -P ${PLIMSOLL_EMBED_SCRIPT}
    DEPENDS ${file} ${PLIMSOLL_EMBED_SCRIPT} VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
