/* tests/fuzz/answers.c - see answers.h. */
#include "answers.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

static const char *field(const void *source, const char *name, size_t nth) {
  const fuzz_answer *answer = source;
  size_t length = strlen(name);
  for (size_t i = 0; i < answer->count; i++)
    if (strncasecmp(answer->headers[i], name, length) == 0 && answer->headers[i][length] == ':' && nth-- == 0)
      return answer->headers[i] + length + 1;
  return NULL;
}

static char *take_line(char **at) {
  char *line = strsep(at, "\n");
  if (!*at)
    *at = line + strlen(line);
  return line;
}

bool fuzz_answer_take(char **at, fuzz_answer *answer, int32_t otherwise) {
  uint64_t status;
  answer->count = 0;
  if (!**at)
    return false;
  const char *line = take_line(at);
  bool known = ims_parse_u64(line, strlen(line), 999, &status);
  answer->reply = (ims_reply){known ? (int32_t)status : otherwise, answer, field};
  while (**at && !ims_is_digit(**at)) {
    char *header = take_line(at);
    if (answer->count < FUZZ_HEADERS)
      answer->headers[answer->count++] = header;
  }
  return true;
}
