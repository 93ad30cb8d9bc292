/* tests/fuzz/fuzz_json.c - what the gate takes, the parser must take, and what is written must read back the same. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CEILING = 1 << 26, MAX_COMPARED = 100 };

static void require(bool truth) {
  if (!truth)
    abort();
}

/* The slow and obvious check that keys differ, against the gate's. */
static void check_keys(const ims_json_value *object) {
  size_t i = 0;
  for (const ims_json_value *a = ims_json_first(object); a && i < MAX_COMPARED; a = ims_json_next(a), i++)
    for (const ims_json_value *b = ims_json_next(a); b; b = ims_json_next(b))
      require(!ims_equal_fold(ims_json_key(a), ims_json_key(b)));
}

static void walk(const ims_json_value *v, int depth) {
  uint64_t n;
  require(depth <= IMS_JSON_MAX_DEPTH);
  switch (ims_json_type(v)) {
  case IMS_JSON_OBJECT:
    check_keys(v);
    break;
  case IMS_JSON_STRING:
    require(ims_utf8_valid(ims_json_string(v), strlen(ims_json_string(v))));
    break;
  case IMS_JSON_NUMBER:
    require(!ims_json_uint(v, &n) || strtoull(ims_json_number(v), NULL, 10) == n);
    break;
  default:
    break;
  }
  for (const ims_json_value *child = ims_json_first(v); child; child = ims_json_next(child))
    walk(child, depth + 1);
}

static void write_and_read_back(const ims_json *json) {
  ims_buf once, again, pretty;
  ims_json *back, *unpretty;
  const ims_alloc *a = &ims_alloc_default;
  ims_buf_init(&once, a, CEILING);
  ims_buf_init(&again, a, CEILING);
  ims_buf_init(&pretty, a, CEILING);
  ims_json_put_value(&once, ims_json_root(json));
  require(ims_json_parse(&back, a, ims_buf_text(&once), once.size, "again", NULL) == IMGSTORE_OK);
  ims_json_put_value(&again, ims_json_root(back));
  require(once.size == again.size && memcmp(once.data, again.data, once.size) == 0);
  ims_json_pretty(&pretty, ims_buf_text(&once), once.size, 0);
  require(ims_json_parse(&unpretty, a, ims_buf_text(&pretty), pretty.size, "pretty", NULL) == IMGSTORE_OK);
  ims_buf_clear(&again);
  ims_json_put_value(&again, ims_json_root(unpretty));
  require(once.size == again.size && memcmp(once.data, again.data, once.size) == 0);
  ims_json_free(back);
  ims_json_free(unpretty);
  ims_buf_free(&once);
  ims_buf_free(&again);
  ims_buf_free(&pretty);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ims_json *json;
  ims_error err = IMS_ERROR_INIT;
  const char *text = (const char *)data;
  int32_t gate = ims_json_check(&ims_alloc_default, text, size, "fuzz", &err);
  require((gate == IMGSTORE_OK) == (err.message[0] == '\0'));
  int32_t rc = ims_json_parse(&json, &ims_alloc_default, text, size, "fuzz", NULL);
  require(rc == gate && (json != NULL) == (rc == IMGSTORE_OK));
  if (rc == IMGSTORE_OK) {
    walk(ims_json_root(json), 0);
    write_and_read_back(json);
  }
  ims_json_free(json);
  return 0;
}
