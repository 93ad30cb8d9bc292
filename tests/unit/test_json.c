/* tests/unit/test_json.c - the gate, the accessors, the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "failing_alloc.h"
#include "json/json.h"

static const ims_alloc *const alloc = &ims_alloc_default;

/* On memory of the exact size, so that reading past the end is seen. */
static int32_t check_bytes(const char *text, size_t size, ims_error *err) {
  char *exact = malloc(size ? size : 1);
  assert_non_null(exact);
  memcpy(exact, text, size);
  int32_t rc = ims_json_check(alloc, exact, size, "doc", err);
  free(exact);
  return rc;
}

static int32_t check(const char *text) {
  return check_bytes(text, strlen(text), NULL);
}

static void test_accepts(void **state) {
  static const char *const good[] = {"0",
                                     "-0",
                                     " null ",
                                     "true",
                                     "\"\"",
                                     "[]",
                                     "{}",
                                     "[1,2,[3,{\"a\":null}]]",
                                     "{\"a\":{\"b\":1},\"b\":{\"a\":1}}",
                                     "1e5",
                                     "-1.25E-10",
                                     "123456789012345678901234567890123456789012345678901234567890123456789012345",
                                     "\"\\ud83d\\ude00 \\u00e9 \xc3\xa9 \\/ \\\" \\\\ \\b\\f\\n\\r\\t\"",
                                     "\t\r\n [ 1 , 2 ] \n",
                                     "\"\x7f\"",
                                     "{\"\":1}",
                                     "\"\\uFFFF\""};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    ims_json *json;
    if (check(good[i]) != IMGSTORE_OK)
      fail_msg("refused: %s", good[i]);
    assert_int_equal(ims_json_parse(&json, alloc, good[i], strlen(good[i]), "doc", NULL), IMGSTORE_OK);
    ims_json_free(json);
  }
}

static void test_refuses(void **state) {
  static const char *const bad[] = {"",
                                    " ",
                                    "{",
                                    "}",
                                    "[",
                                    "]",
                                    "[1",
                                    "[1,",
                                    "[1,]",
                                    "[,1]",
                                    "[1 2]",
                                    "{\"a\"}",
                                    "{\"a\":}",
                                    "{\"a\":1,}",
                                    "{a:1}",
                                    "{'a':1}",
                                    "{1:1}",
                                    "[1}",
                                    "{\"a\":1]",
                                    "nul",
                                    "nulll",
                                    "True",
                                    "NaN",
                                    "Infinity",
                                    "+1",
                                    "01",
                                    "-01",
                                    "-",
                                    "1.",
                                    ".5",
                                    "1e",
                                    "1e+",
                                    "0x10",
                                    "1 2",
                                    "{} {}",
                                    "[] x",
                                    "\"",
                                    "\"\\\"",
                                    "\"\\x41\"",
                                    "\"\\u12\"",
                                    "\"\\u12g4\"",
                                    "\"\\u0000\"",
                                    "\"\\ud800\"",
                                    "\"\\udc00\"",
                                    "\"\\ud800\\u0041\"",
                                    "\"\\ud800\\ud800\"",
                                    "\"a\nb\"",
                                    "\"a\tb\"",
                                    "\"\x01\"",
                                    "\"\x1f\"",
                                    "\"\xff\"",
                                    "\"\xc0\x80\"",
                                    "\"\xed\xa0\x80\"",
                                    "\"\xf4\x90\x80\x80\"",
                                    "\"\xc3\"",
                                    "\xef\xbb\xbf{}",
                                    "\xa0[]",
                                    "[1]\v",
                                    "// c\n1",
                                    "/**/1",
                                    "\"\\u+123\"",
                                    "\"\\u 123\""};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (check(bad[i]) != IMGSTORE_EFORMAT)
      fail_msg("accepted: %s", bad[i]);
  assert_int_equal(check_bytes("[1]\0", 4, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(check_bytes("\"a\0b\"", 5, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(check_bytes("\0", 1, NULL), IMGSTORE_EFORMAT);
}

static void test_every_prefix_is_refused(void **state) {
  static const char text[] = "{\"a\":[1.5e+3,true,null,\"\\ud83d\\ude00\xc3\xa9\\n\"],\"b\":{\"c\":-12}}";
  for (size_t n = 0; n + 1 < sizeof text; n++)
    assert_int_equal(check_bytes(text, n, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(check(text), IMGSTORE_OK);
}

static void test_duplicate_keys(void **state) {
  static const char *const bad[] = {"{\"a\":1,\"a\":2}",
                                    "{\"a\":1,\"b\":2,\"A\":3}",
                                    "{\"layers\":1,\"\\u006cayers\":2}",
                                    "{\"layers\":1,\"layer\\u0053\":2}",
                                    "{\"layers\":1,\"layer\xc5\xbf\":2}",
                                    "{\"k\":1,\"\\u212a\":2}",
                                    "[{\"x\":{\"\":1,\"\":2}}]",
                                    "{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}",
                                    "{\"\\n\":1,\"\\u000A\":2}",
                                    "{\"\\/\":1,\"/\":2}"};
  static const char *const good[] = {"{\"a\":1,\"aa\":2,\"aaa\":3}", "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}",
                                     "[{\"a\":1},{\"a\":1}]", "{\"\xc3\xa9\":1,\"\xc3\x89\":2}",
                                     "{\"a\\u0001\":1,\"a\\u0002\":2}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (check(bad[i]) != IMGSTORE_EFORMAT)
      fail_msg("accepted: %s", bad[i]);
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (check(good[i]) != IMGSTORE_OK)
      fail_msg("refused: %s", good[i]);
}

/* In maps whose keys are data, case tells keys apart; not around them, and not in what they hold. */
static void test_free_maps(void **state) {
  static const char *const good[] = {"{\"config\":{\"Labels\":{\"Foo\":\"1\",\"foo\":\"2\"}}}",
                                     "{\"annotations\":{\"a.B\":\"1\",\"a.b\":\"2\",\"A.b\":\"3\"}}",
                                     "{\"config\":{\"Volumes\":{\"/Data\":{},\"/data\":{}}}}",
                                     "{\"config\":{\"ExposedPorts\":{\"80/TCP\":{},\"80/tcp\":{}}}}"};
  static const char *const bad[] = {
      "{\"Labels\":{\"foo\":1,\"foo\":2}}",     "{\"Labels\":{\"foo\":1,\"f\\u006fo\":2}}",
      "{\"Labels\":{\"x\":{\"a\":1,\"A\":2}}}", "{\"Labels\":[{\"a\":1,\"A\":2}]}",
      "{\"Labels\":{},\"labels\":{}}",          "{\"Labels\":{\"Foo\":1},\"a\":{\"b\":1,\"B\":2}}",
      "{\"labels\":{\"Foo\":1,\"foo\":2}}",     "{\"layers\":{\"Foo\":1,\"foo\":2}}"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (check(good[i]) != IMGSTORE_OK)
      fail_msg("refused: %s", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (check(bad[i]) != IMGSTORE_EFORMAT)
      fail_msg("accepted: %s", bad[i]);
}

static char *repeat(const char *piece, size_t count, const char *before, const char *after, size_t *size) {
  size_t n = strlen(piece);
  char *text = malloc(strlen(before) + n * count + strlen(after) + 1), *p = text;
  assert_non_null(text);
  p += sprintf(p, "%s", before);
  for (size_t i = 0; i < count; i++, p += n)
    memcpy(p, piece, n);
  p += sprintf(p, "%s", after);
  *size = (size_t)(p - text);
  return text;
}

static int32_t check_repeated(const char *piece, size_t count, const char *before, const char *after) {
  size_t size;
  char *text = repeat(piece, count, before, after, &size);
  int32_t rc = check_bytes(text, size, NULL);
  free(text);
  return rc;
}

static void test_depth(void **state) {
  char text[2 * IMS_JSON_MAX_DEPTH + 4];
  for (size_t depth = IMS_JSON_MAX_DEPTH - 1; depth <= IMS_JSON_MAX_DEPTH + 1; depth++) {
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    assert_int_equal(check_bytes(text, 2 * depth, NULL), depth > IMS_JSON_MAX_DEPTH ? IMGSTORE_ELIMIT : IMGSTORE_OK);
  }
  assert_int_equal(check_repeated("[", 1 << 20, "", ""), IMGSTORE_ELIMIT);
  assert_int_equal(check_repeated("{\"a\":", 1 << 20, "", ""), IMGSTORE_ELIMIT);
}

static void test_tokens(void **state) {
  assert_int_equal(check_repeated("0,", IMS_JSON_MAX_TOKENS - 2, "[", "0]"), IMGSTORE_OK);
  assert_int_equal(check_repeated("0,", IMS_JSON_MAX_TOKENS - 1, "[", "0]"), IMGSTORE_ELIMIT);
}

/* Many keys that differ only at their ends, in an object too large for the inline room. */
static void test_many_keys(void **state) {
  enum { KEYS = 100000 };
  char *text = malloc(KEYS * 40), *p = text;
  assert_non_null(text);
  *p++ = '{';
  for (int i = 0; i < KEYS; i++)
    p += sprintf(p, "%s\"prefix-%08d\":%d", i ? "," : "", (i * 7919) % KEYS, i);
  char *end = p;
  sprintf(p, "}");
  clock_t start = clock();
  assert_int_equal(check(text), IMGSTORE_OK);
  assert_true(clock() - start < 5 * CLOCKS_PER_SEC); /* quadratic would take minutes */
  sprintf(end, ",\"PREFIX-%08d\":0}", KEYS / 2);
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(check_bytes(text, strlen(text), &err), IMGSTORE_EFORMAT);
  assert_non_null(strstr(err.message, "-00050000\" comes twice"));
  free(text);
}

static void test_messages(void **state) {
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(check_bytes("[1,x]", 5, &err), IMGSTORE_EFORMAT);
  assert_string_equal(err.message, "doc: JSON byte 3: unexpected character");
  ims_error_clear(&err);
  assert_int_equal(check_bytes("[1", 2, &err), IMGSTORE_EFORMAT);
  assert_string_equal(err.message, "doc: JSON byte 2: unexpected end");
  ims_error_clear(&err);
  assert_int_equal(check_bytes("[01]", 4, &err), IMGSTORE_EFORMAT);
  assert_string_equal(err.message, "doc: JSON byte 2: number with a leading zero");
}

static void test_accessors(void **state) {
  static const char text[] = "{\"a\":1,\"b\":[true,false,null,\"x\\u00e9\",[],{}],\"A2\":{\"k\":\"v\"}}";
  ims_json *json;
  bool flag;
  assert_int_equal(ims_json_parse(&json, alloc, text, strlen(text), "doc", NULL), IMGSTORE_OK);
  const ims_json_value *root = ims_json_root(json), *b = ims_json_get(root, "b");
  assert_int_equal(ims_json_type(root), IMS_JSON_OBJECT);
  assert_int_equal(ims_json_count(root), 3);
  assert_null(ims_json_get(root, "B"));
  assert_null(ims_json_get(b, "a"));
  assert_int_equal(ims_json_count(b), 6);
  const ims_json_value *v = ims_json_first(b);
  assert_true(ims_json_bool(v, &flag) && flag);
  v = ims_json_next(v);
  assert_true(ims_json_bool(v, &flag) && !flag);
  v = ims_json_next(v);
  assert_int_equal(ims_json_type(v), IMS_JSON_NULL);
  assert_false(ims_json_bool(v, &flag));
  v = ims_json_next(v);
  assert_string_equal(ims_json_string(v), "x\xc3\xa9");
  assert_null(ims_json_number(v));
  v = ims_json_next(ims_json_next(ims_json_next(v)));
  assert_null(v);
  assert_string_equal(ims_json_key(ims_json_first(root)), "a");
  assert_null(ims_json_string(ims_json_first(root)));
  ims_json_free(json);
}

static void test_absent(void **state) {
  uint64_t n;
  bool flag;
  assert_int_equal(ims_json_type(NULL), 0);
  assert_null(ims_json_get(NULL, "a"));
  assert_null(ims_json_first(NULL));
  assert_null(ims_json_next(NULL));
  assert_int_equal(ims_json_count(NULL), 0);
  assert_null(ims_json_key(NULL));
  assert_null(ims_json_string(NULL));
  assert_false(ims_json_uint(NULL, &n));
  assert_false(ims_json_bool(NULL, &flag));
  assert_null(ims_json_root(NULL));
  ims_json_free(NULL);
}

static void test_integers(void **state) {
  static const struct {
    const char *text;
    bool good;
    uint64_t value;
  } cases[] = {{"0", true, 0},
               {"42", true, 42},
               {"9007199254740991", true, 9007199254740991u},
               {"9007199254740992", true, 9007199254740992u},
               {"9007199254740993", false, 0},
               {"9007199254740992.4", false, 0},
               {"18446744073709551616", false, 0},
               {"1000000000000000000000000000000000000000000000000000000000000000000000000000", false, 0},
               {"-1", false, 0},
               {"-0", false, 0},
               {"1.0", false, 0},
               {"1e3", false, 0},
               {"\"1\"", false, 0},
               {"true", false, 0},
               {"null", false, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[128];
    ims_json *json;
    uint64_t value = 7;
    snprintf(text, sizeof text, "{\"a\":[-1.5,\"2\"],\"n\":%s,\"z\":3}", cases[i].text);
    assert_int_equal(ims_json_parse(&json, alloc, text, strlen(text), "doc", NULL), IMGSTORE_OK);
    assert_int_equal(ims_json_uint(ims_json_get(ims_json_root(json), "n"), &value), cases[i].good);
    assert_true(!cases[i].good || value == cases[i].value);
    assert_true(ims_json_uint(ims_json_get(ims_json_root(json), "z"), &value) && value == 3);
    ims_json_free(json);
  }
}

static void test_put_string(void **state) {
  static const char in[] = "a\"\\\b\f\n\r\t\x01\x1f/\x7f\xc3\xa9\xff\xf0\x9f\x98\x80\xe2\x82";
  ims_buf out;
  ims_buf_init(&out, alloc, 1000);
  ims_json_put_string(&out, in, sizeof in - 1);
  assert_string_equal(ims_buf_text(&out), "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f/\x7f\xc3\xa9\xef\xbf\xbd"
                                          "\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd\"");
  ims_buf_clear(&out);
  ims_json_put_string(&out, "a\0b", 3);
  assert_string_equal(ims_buf_text(&out), "\"a\\u0000b\"");
  ims_buf_free(&out);
}

static void test_put_value(void **state) {
  static const char *const texts[] = {
      ("{\"a\":[1,-0,1.50,1e400,9007199254740993,123456789012345678901234567890],\"b\":{\"c\":{},\"d\":[[],[[]]]},"
       "\"e\\\"\":null,\"f\":[true,false],\"\":\"\\u0001\"}"),
      "[]",
      "{}",
      "\"x\"",
      "12345678901234567890",
      "[[[[[[1]]]],2],{\"a\":[{}]}]"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    ims_json *json;
    ims_buf out;
    ims_buf_init(&out, alloc, 1000);
    assert_int_equal(ims_json_parse(&json, alloc, texts[i], strlen(texts[i]), "doc", NULL), IMGSTORE_OK);
    ims_json_put_value(&out, ims_json_root(json));
    assert_string_equal(ims_buf_text(&out), texts[i]);
    ims_json_free(json);
    ims_buf_free(&out);
  }
}

/* A value in the middle is written alone, without what follows it. */
static void test_put_inner_value(void **state) {
  static const char text[] = "{\"a\":{\"b\":[1,{\"c\":2}]},\"d\":[3]}";
  ims_json *json;
  ims_buf out;
  ims_buf_init(&out, alloc, 1000);
  assert_int_equal(ims_json_parse(&json, alloc, text, strlen(text), "doc", NULL), IMGSTORE_OK);
  ims_json_put_value(&out, ims_json_get(ims_json_root(json), "a"));
  ims_json_put_value(&out, NULL);
  assert_string_equal(ims_buf_text(&out), "{\"b\":[1,{\"c\":2}]}null");
  ims_json_free(json);
  ims_buf_free(&out);
}

static void test_pretty(void **state) {
  static const char compact[] = "{\"a\":[],\"b\":{},\"c\":[1,{\"d\":\"x,{[:\\\"\"}],\"e\":null}";
  ims_buf out;
  ims_buf_init(&out, alloc, 1000);
  ims_json_pretty(&out, compact, strlen(compact), 1);
  assert_string_equal(ims_buf_text(&out), "{\n"
                                          "        \"a\": [],\n"
                                          "        \"b\": {},\n"
                                          "        \"c\": [\n"
                                          "            1,\n"
                                          "            {\n"
                                          "                \"d\": \"x,{[:\\\"\"\n"
                                          "            }\n"
                                          "        ],\n"
                                          "        \"e\": null\n"
                                          "    }");
  ims_buf_free(&out);
}

static char *many_keys_document(void) {
  char *text = malloc(4096), *p = text;
  assert_non_null(text);
  *p++ = '{';
  for (int i = 0; i < 3 * 64; i++)
    p += sprintf(p, "%s\"k%d\":%d", i ? "," : "", i, i);
  sprintf(p, "}");
  return text;
}

static void test_allocation_failures(void **state) {
  char *text = many_keys_document();
  failing f = {0};
  for (size_t i = 0;; i++) {
    ims_alloc a = failing_alloc(&f, i);
    ims_json *json;
    int32_t rc = ims_json_parse(&json, &a, text, strlen(text), "doc", NULL);
    assert_int_equal(rc, f.failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
    assert_int_equal(json == NULL, f.failed);
    ims_json_free(json);
    assert_int_equal(f.live, 0);
    if (!f.failed)
      break;
  }
  free(text);
}

static failing parser_memory;

static void *parser_malloc(size_t size) {
  return failing_allocate(&parser_memory, size);
}

static void parser_free(void *memory) {
  failing_release(&parser_memory, memory);
}

/* The parser below has an allocator of its own. */
static void test_parser_allocation_failures(void **state) {
  static const char text[] = "{\"a\":[1,\"x\",{\"b\":[2.5,\"y\"]}],\"c\":3}";
  cJSON_Hooks hooks = {parser_malloc, parser_free};
  cJSON_InitHooks(&hooks);
  for (size_t i = 0;; i++) {
    ims_json *json;
    failing_alloc(&parser_memory, i);
    int32_t rc = ims_json_parse(&json, alloc, text, strlen(text), "doc", NULL);
    assert_int_equal(rc, parser_memory.failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
    ims_json_free(json);
    assert_int_equal(parser_memory.live, 0);
    if (!parser_memory.failed)
      break;
  }
  cJSON_InitHooks(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_accepts),
      cmocka_unit_test(test_refuses),
      cmocka_unit_test(test_every_prefix_is_refused),
      cmocka_unit_test(test_duplicate_keys),
      cmocka_unit_test(test_free_maps),
      cmocka_unit_test(test_depth),
      cmocka_unit_test(test_tokens),
      cmocka_unit_test(test_many_keys),
      cmocka_unit_test(test_messages),
      cmocka_unit_test(test_accessors),
      cmocka_unit_test(test_absent),
      cmocka_unit_test(test_integers),
      cmocka_unit_test(test_put_string),
      cmocka_unit_test(test_put_value),
      cmocka_unit_test(test_put_inner_value),
      cmocka_unit_test(test_pretty),
      cmocka_unit_test(test_allocation_failures),
      cmocka_unit_test(test_parser_allocation_failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
