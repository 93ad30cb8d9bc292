/* tests/unit/test_credentials.c - key spellings, files, helpers, rewriting, the environment, failing allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/credential_key.h"
#include "engine/process.h"
#include "engine/credentials.h"

static char root[] = "/tmp/ims-credentials-XXXXXX";

typedef struct failing {
  long left; /* allocations that succeed; negative: all */
} failing;

static void *failing_allocate(void *data, size_t bytes) {
  failing *f = data;
  if (f->left == 0)
    return NULL;
  f->left -= f->left > 0;
  return malloc(bytes);
}

static void *failing_reallocate(void *data, void *memory, size_t bytes) {
  failing *f = data;
  if (f->left == 0)
    return NULL;
  f->left -= f->left > 0;
  return realloc(memory, bytes);
}

static void failing_release(void *data, void *memory) {
  free(memory);
}

static failing memory = {-1};
static ims_core *core;

static char *path_of(const char *name) {
  static char paths[4][512];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", root, name);
  return path;
}

static void write_file(const char *name, const char *text, mode_t mode) {
  FILE *f = fopen(path_of(name), "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
  chmod(path_of(name), mode);
}

static char *read_file(const char *name) {
  static char text[65536];
  FILE *f = fopen(path_of(name), "r");
  assert_non_null(f);
  text[fread(text, 1, sizeof text - 1, f)] = '\0';
  fclose(f);
  return text;
}

/* Finds in root/config.json; "user/password/token" with "-" for what is missing, or the error code. */
static const char *find_at(const ims_credential_sources *sources, const char *host, const char *repository) {
  static char text[IMS_ERROR_MESSAGE + 64];
  ims_credential c;
  ims_error err = IMS_ERROR_INIT;
  int32_t code = ims_credentials_find(core, sources, host, repository, NULL, &c, &err);
  if (code != IMGSTORE_OK) {
    assert_null(c.username);
    snprintf(text, sizeof text, "%d %s", code, err.message);
    return text;
  }
  snprintf(text, sizeof text, "%s/%s/%s", c.username ? c.username : "-", c.password ? c.password : "-",
           c.identity_token ? c.identity_token : "-");
  ims_credential_free(core, &c);
  return text;
}

static const char *find(const char *host, const char *repository) {
  const ims_credential_sources sources = {root, NULL, false};
  return find_at(&sources, host, repository);
}

static void test_keys(void **state) {
  assert_int_equal(ims_credential_key_fit("quay.io", "quay.io", "a/b"), IMS_KEY_EXACT);
  assert_int_equal(ims_credential_key_fit("QUAY.io", "quay.io", "a/b"), IMS_KEY_EXACT);
  assert_int_equal(ims_credential_key_fit("https://quay.io", "quay.io", "a/b"), IMS_KEY_HOST);
  assert_int_equal(ims_credential_key_fit("http://quay.io/v2/", "quay.io", "a/b"), IMS_KEY_HOST);
  assert_int_equal(ims_credential_key_fit("quay.io/v1/", "quay.io", "a/b"), IMS_KEY_HOST);
  assert_int_equal(ims_credential_key_fit("quay.io:443", "quay.io", "a/b"), IMS_KEY_NONE);
  assert_int_equal(ims_credential_key_fit("quay.io.evil.example", "quay.io", "a/b"), IMS_KEY_NONE);
  assert_int_equal(ims_credential_key_fit("evil.example/quay.io", "quay.io", "a/b"), IMS_KEY_NONE);
  assert_int_equal(ims_credential_key_fit("[::1]:5000", "[::1]:5000", "a"), IMS_KEY_EXACT);
  assert_true(ims_credential_key_fit("quay.io/a/b", "quay.io", "a/b") >
              ims_credential_key_fit("quay.io/a", "quay.io", "a/b"));
  assert_true(ims_credential_key_fit("quay.io/a", "quay.io", "a/b") >= IMS_KEY_NAMESPACE);
  assert_int_equal(ims_credential_key_fit("quay.io/a", "quay.io", "ab/c"), IMS_KEY_NONE);
  assert_int_equal(ims_credential_key_fit("quay.io/a/b/c", "quay.io", "a/b"), IMS_KEY_NONE);
  assert_int_equal(ims_credential_key_fit("quay.io/a", "quay.io", NULL), IMS_KEY_NONE);
  assert_int_equal(ims_credential_key_fit("https://index.docker.io/v1/", "docker.io", "library/x"), IMS_KEY_EXACT);
  assert_int_equal(ims_credential_key_fit("index.docker.io", "docker.io", "library/x"), IMS_KEY_HOST);
  assert_int_equal(ims_credential_key_fit("docker.io", "docker.io", "library/x"), IMS_KEY_HOST);
  assert_true(ims_credential_key_fit("docker.io/library", "docker.io", "library/x") >= IMS_KEY_NAMESPACE);
  assert_string_equal(ims_credential_key("docker.io"), "https://index.docker.io/v1/");
  assert_string_equal(ims_credential_key("quay.io"), "quay.io");
}

static void test_file(void **state) {
  write_file(
      "config.json",
      "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"aHViOnB3OndpdGg6Y29sb25z\"},"
      "\"http://plain.example:5000\":{\"username\":\"u\",\"password\":\"p\"},"
      "\"empty.example\":{},\"https://empty.example\":{\"auth\":\"YTpi\"},"
      "\"token.example\":{\"auth\":\"dTo=\",\"identitytoken\":\"idt\"},"
      "\"padded.example\":{\"auth\":\"dTpwAAA=\",\"password\":null},"
      "\"quay.io\":{\"auth\":\"aDpo\"},\"quay.io/ns\":{\"auth\":\"bjpu\"},\"quay.io/ns/repo\":{\"auth\":\"cjpy\"}}}",
      0600);
  assert_string_equal(find("docker.io", "library/busybox"), "hub/pw:with:colons/-");
  assert_string_equal(find("plain.example:5000", "x"), "u/p/-");
  assert_string_equal(find("plain.example", "x"), "-/-/-");
  assert_string_equal(find("empty.example", "x"), "a/b/-");
  assert_string_equal(find("token.example", "x"), "u/-/idt");
  assert_string_equal(find("padded.example", "x"), "u/p/-");
  assert_string_equal(find("quay.io", "ns/repo"), "r/r/-");
  assert_string_equal(find("quay.io", "ns/repo/deeper"), "r/r/-");
  assert_string_equal(find("quay.io", "ns/other"), "n/n/-");
  assert_string_equal(find("quay.io", "nsx/other"), "h/h/-");
  assert_string_equal(find("quay.io", NULL), "h/h/-");
}

static void test_order(void **state) {
  char *auth_file = path_of("auth.json");
  const ims_credential_sources both = {root, auth_file, false};
  write_file("config.json", "{\"auths\":{\"a.example\":{\"auth\":\"MTox\"}}}", 0600);
  write_file("auth.json", "{\"auths\":{\"a.example\":{\"auth\":\"Mjoy\"},\"b.example\":{\"auth\":\"Mzoz\"}}}", 0600);
  assert_string_equal(find_at(&both, "a.example", "x"), "1/1/-");
  assert_string_equal(find_at(&both, "b.example", "x"), "3/3/-");
  write_file("config.json", "", 0600);
  assert_string_equal(find_at(&both, "a.example", "x"), "2/2/-");
  unlink(path_of("config.json"));
  assert_string_equal(find_at(&both, "a.example", "x"), "2/2/-");
  const ims_credential_sources none = {NULL, NULL, false};
  assert_string_equal(find_at(&none, "a.example", "x"), "-/-/-");
}

static void test_environment(void **state) {
  const ims_credential_sources sources = {NULL, NULL, true};
  mkdir(path_of(".docker"), 0700);
  mkdir(path_of(".config"), 0700);
  mkdir(path_of(".config/containers"), 0700);
  mkdir(path_of("containers"), 0700);
  write_file(".docker/config.json", "{\"auths\":{\"a.example\":{\"auth\":\"MTox\"}}}", 0600);
  write_file("containers/auth.json", "{\"auths\":{\"b.example\":{\"auth\":\"Mjoy\"}}}", 0600);
  write_file(".config/containers/auth.json", "{\"auths\":{\"c.example\":{\"auth\":\"Mzoz\"}}}", 0600);
  write_file("auth.json", "{\"auths\":{\"d.example\":{\"auth\":\"NDo0\"}}}", 0600);
  unsetenv("DOCKER_CONFIG");
  unsetenv("REGISTRY_AUTH_FILE");
  setenv("HOME", root, 1);
  setenv("XDG_RUNTIME_DIR", root, 1);
  assert_string_equal(find_at(&sources, "a.example", "x"), "1/1/-");
  assert_string_equal(find_at(&sources, "b.example", "x"), "2/2/-");
  assert_string_equal(find_at(&sources, "c.example", "x"), "3/3/-");
  setenv("REGISTRY_AUTH_FILE", path_of("auth.json"), 1);
  assert_string_equal(find_at(&sources, "d.example", "x"), "4/4/-");
  assert_string_equal(find_at(&sources, "b.example", "x"), "-/-/-");
  setenv("DOCKER_CONFIG", path_of("nothing"), 1);
  assert_string_equal(find_at(&sources, "a.example", "x"), "-/-/-");
  unsetenv("DOCKER_CONFIG");
  const ims_credential_sources quiet = {NULL, NULL, false};
  assert_string_equal(find_at(&quiet, "a.example", "x"), "-/-/-");
}

static void test_malformed(void **state) {
  static const char *const bad[] = {"{",
                                    "[]",
                                    "{\"auths\":[]}",
                                    "{\"auths\":{\"h\":\"s3cret\"}}",
                                    "{\"auths\":{\"h\":{\"auth\":\"s3cret!\"}}}",
                                    "{\"auths\":{\"h\":{\"auth\":\"bm9jb2xvbg==\"}}}",
                                    "{\"auths\":{\"h\":{\"auth\":7}}}",
                                    "{\"auths\":{\"h\":{\"auth\":\"dQA6cA==\"}}}",
                                    "{\"credsStore\":\"../s3cret\"}",
                                    "{\"credsStore\":7}",
                                    "{\"credHelpers\":{\"h\":\"a/b\"}}",
                                    "{\"credHelpers\":\"x\"}",
                                    "{\"auths\":{\"h\":{\"identitytoken\":{}}}}",
                                    "{} s3cret"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    write_file("config.json", bad[i], 0600);
    const char *text = find("h", "x");
    assert_memory_equal(text, "-25 ", 4);
    assert_non_null(strstr(text, "config.json"));
    assert_null(strstr(text, "s3cret"));
  }
  unlink(path_of("config.json"));
  mkfifo(path_of("config.json"), 0600); /* must not hang */
  assert_non_null(strstr(find("h", "x"), "not a regular file"));
  unlink(path_of("config.json"));
}

/* A helper that logs what it is asked and answers by host. */
static const char helper_script[] =
    "#!/bin/sh\n"
    "input=$(cat)\n"
    "printf '%s %s\\n' \"$1\" \"$input\" >>\"$HELPER_LOG\"\n"
    "case \"$1 $input\" in\n"
    "*slow*) exec sleep 60;;\n"
    "get*flood*) yes 0123456789012345678901234567890123456789;;\n"
    "get*missing*) echo 'credentials not found in native keychain'; exit 1;;\n"
    "get*broken*) echo 'keychain is locked'; exit 1;;\n"
    "get*leaky*) echo '{\"Secret\":\"s3cret\"}'; exit 3;;\n"
    "get*nonsense*) echo 's3cret';;\n"
    "get*empty*) echo '{\"Username\":\"\",\"Secret\":\"\"}';;\n"
    "get*token*) echo '{\"ServerURL\":\"x\",\"Username\":\"<token>\",\"Secret\":\"idt\"}';;\n"
    "get*stays*) sleep 60 & echo '{\"Username\":\"u\",\"Secret\":\"p\"}';;\n"
    "get*) echo '{\"Username\":\"helped\",\"Secret\":\"p\"}';;\n"
    "erase*missing*) echo 'credentials not found in native keychain'; exit 1;;\n"
    "store*broken*) echo 'no room'; exit 1;;\n"
    "esac\n";

static void use_helper(void) {
  char path[2048];
  write_file("docker-credential-test", helper_script, 0755);
  snprintf(path, sizeof path, "%s:/usr/bin:/bin", root);
  setenv("PATH", path, 1);
  setenv("HELPER_LOG", path_of("log"), 1);
  unlink(path_of("log"));
}

static void test_helper_get(void **state) {
  use_helper();
  write_file("config.json",
             "{\"credsStore\":\"test\",\"credHelpers\":{\"own.example\":\"absent\",\"off.example\":\"\"},"
             "\"auths\":{\"missing.example\":{\"auth\":\"MTox\"},\"off.example\":{\"auth\":\"Mjoy\"}}}",
             0600);
  assert_string_equal(find("h.example:5000", "x"), "helped/p/-");
  assert_string_equal(find("docker.io", "x"), "helped/p/-");
  assert_string_equal(read_file("log"), "get h.example:5000\nget https://index.docker.io/v1/\n");
  assert_string_equal(find("token.example", "x"), "-/-/idt");
  assert_string_equal(find("missing.example", "x"), "1/1/-");
  assert_string_equal(find("missing.test", "x"), "-/-/-");
  assert_string_equal(find("empty.test", "x"), "-/-/-");
  assert_string_equal(find("off.example", "x"), "2/2/-");
  assert_string_equal(find("stays.example", "x"), "u/p/-");
  assert_string_equal(find("broken.example", "x"), "-16 docker-credential-test: get failed: keychain is locked");
  assert_string_equal(find("leaky.example", "x"), "-16 docker-credential-test: get failed with exit status 3");
  assert_string_equal(find("nonsense.example", "x"), "-16 docker-credential-test: its answer is not JSON");
  assert_string_equal(find("flood.example", "x"), "-16 docker-credential-test: its output is over 1048576 bytes");
  assert_memory_equal(find("own.example", "x"), "-16 docker-credential-absent", 28);
}

static void test_helper_with_ignored_children(void **state) {
  struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
  use_helper();
  write_file("config.json", "{\"credsStore\":\"test\"}", 0600);
  sigaction(SIGCHLD, &ignore, &before);
  assert_string_equal(find("h.example", "x"), "helped/p/-");
  assert_string_equal(find("missing.example", "x"), "-/-/-");
  assert_string_equal(find("broken.example", "x"), "-16 docker-credential-test: its answer is not JSON");
  sigaction(SIGCHLD, &before, NULL);
}

static void test_helper_cancelled_and_late(void **state) {
  ims_credential c;
  ims_error err = IMS_ERROR_INIT;
  const ims_credential_sources sources = {root, NULL, false};
  atomic_bool cancelled;
  atomic_init(&cancelled, true);
  use_helper();
  write_file("config.json", "{\"credsStore\":\"test\"}", 0600);
  int64_t start = ims_now_ms();
  assert_int_equal(ims_credentials_find(core, &sources, "slow.example", "x", &cancelled, &c, &err),
                   IMGSTORE_ECANCELLED);
  assert_true(ims_now_ms() - start < 5000);
  ims_error late = IMS_ERROR_INIT;
  const char *const sleep_minute[] = {"sleep", "60", NULL};
  const ims_process sleeper = {.arguments = sleep_minute, .input = "", .timeout_ms = 300};
  ims_buf output;
  int status;
  ims_buf_init(&output, &core->alloc, 100);
  start = ims_now_ms();
  assert_int_equal(ims_process_run(&sleeper, &output, &status, &late), IMGSTORE_ETIMEOUT);
  assert_true(ims_now_ms() - start < 5000);
  ims_buf_free(&output);
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left to be reaped */
}

static void store(const char *host, const char *username, const char *password, const char *token, int32_t expected) {
  ims_error err = IMS_ERROR_INIT;
  const ims_credential c = {(char *)(uintptr_t)username, (char *)(uintptr_t)password, (char *)(uintptr_t)token};
  int32_t code = ims_credentials_store(core, root, host, &c, &err);
  if (code != expected)
    print_error("%s\n", err.message);
  assert_int_equal(code, expected);
}

static void test_store(void **state) {
  struct stat st;
  unlink(path_of("config.json"));
  store("a.example:5000", "user", "pass:word", NULL, IMGSTORE_OK);
  assert_string_equal(
      read_file("config.json"),
      "{\n\t\"auths\": {\n\t\t\"a.example:5000\": {\n\t\t\t\"auth\": \"dXNlcjpwYXNzOndvcmQ=\"\n\t\t}\n\t}\n}\n");
  assert_int_equal(stat(path_of("config.json"), &st), 0);
  assert_int_equal(st.st_mode & 07777, 0600);
  assert_string_equal(find("a.example:5000", "x"), "user/pass:word/-");
  store("docker.io", "hub", "pw", "idt", IMGSTORE_OK);
  assert_string_equal(find("docker.io", "x"), "hub/pw/idt");
  assert_non_null(strstr(read_file("config.json"), "\"https://index.docker.io/v1/\": {"));
  store("a.example:5000", "us:er", "p", NULL, IMGSTORE_EINVALID);
  store("a.example:5000", NULL, NULL, NULL, IMGSTORE_EINVALID);
  store("a.example:5000", NULL, NULL, "only\"token", IMGSTORE_OK);
  assert_string_equal(find("a.example:5000", "x"), "-/-/only\"token");
  assert_int_equal(access(path_of(".config.json.imgstore"), F_OK), -1);
}

static void test_store_keeps_the_rest(void **state) {
  write_file(
      "config.json",
      "{ \"zeta\": 12345678901234567890, \"auths\": {\"b\": {\"auth\": \"YTpi\", \"email\": \"e\"}, \"https://a/v1/\": "
      "{}, "
      "\"c\": {}, \"http://a\": {}}, \"HttpHeaders\": {\"X\": \"{\\\"[,:\\\\\"}, \"list\": [1.50, [], {}, true]}",
      0644);
  store("a", "u", "p", NULL, IMGSTORE_OK);
  assert_string_equal(
      read_file("config.json"),
      "{\n\t\"zeta\": 12345678901234567890,\n\t\"auths\": {\n\t\t\"b\": {\n\t\t\t\"auth\": \"YTpi\",\n\t\t\t"
      "\"email\": \"e\"\n\t\t},\n\t\t\"a\": {\n\t\t\t\"auth\": \"dTpw\"\n\t\t},\n\t\t\"c\": {}\n\t},\n\t"
      "\"HttpHeaders\": {\n\t\t\"X\": \"{\\\"[,:\\\\\"\n\t},\n\t\"list\": [\n\t\t1.50,\n\t\t[],\n\t\t{},\n\t\t"
      "true\n\t]\n}\n");
  write_file("config.json", "{\"auths\":", 0600);
  store("a", "u", "p", NULL, IMGSTORE_EFORMAT);
  assert_string_equal(read_file("config.json"), "{\"auths\":");
  write_file("config.json", "{\"auths\":[]}", 0600);
  store("a", "u", "p", NULL, IMGSTORE_EFORMAT);
}

static void test_store_through_a_link(void **state) {
  struct stat st;
  unlink(path_of("config.json"));
  mkdir(path_of("elsewhere"), 0700);
  write_file("elsewhere/real.json", "{}", 0600);
  assert_int_equal(symlink("elsewhere/real.json", path_of("config.json")), 0);
  store("a", "u", "p", NULL, IMGSTORE_OK);
  assert_int_equal(lstat(path_of("config.json"), &st), 0);
  assert_true(S_ISLNK(st.st_mode));
  assert_non_null(strstr(read_file("elsewhere/real.json"), "dTpw"));
  unlink(path_of("elsewhere/real.json"));
  store("a", "u", "p", NULL, IMGSTORE_ENOTFOUND); /* a link to nothing is not replaced */
  unlink(path_of("config.json"));
}

static void test_store_makes_folders(void **state) {
  struct stat st;
  ims_error err = IMS_ERROR_INIT;
  const ims_credential c = {(char *)(uintptr_t) "u", (char *)(uintptr_t) "p", NULL};
  assert_int_equal(ims_credentials_store(core, path_of("new/deep/"), "a", &c, &err), IMGSTORE_OK);
  assert_int_equal(stat(path_of("new/deep"), &st), 0);
  assert_int_equal(st.st_mode & 0777, 0700);
  assert_int_equal(ims_credentials_store(core, "", "a", &c, &err), IMGSTORE_EINVALID);
}

static void test_many_logins_at_once(void **state) {
  enum { PROCESSES = 16 };
  unlink(path_of("config.json"));
  for (int i = 0; i < PROCESSES; i++)
    if (fork() == 0) {
      char host[32];
      ims_error err = IMS_ERROR_INIT;
      const ims_credential c = {(char *)(uintptr_t) "u", (char *)(uintptr_t) "p", NULL};
      snprintf(host, sizeof host, "host%d", i);
      _exit(ims_credentials_store(core, root, host, &c, &err) != IMGSTORE_OK);
    }
  for (int i = 0, status; i < PROCESSES; i++) {
    assert_true(wait(&status) > 0);
    assert_int_equal(status, 0);
  }
  for (int i = 0; i < PROCESSES; i++) {
    char host[32];
    snprintf(host, sizeof host, "host%d", i);
    assert_string_equal(find(host, "x"), "u/p/-");
  }
}

static void test_erase(void **state) {
  ims_error err = IMS_ERROR_INIT;
  write_file("config.json", "{\"auths\":{\"https://a/v1/\":{\"auth\":\"dTpw\"},\"b\":{\"auth\":\"dTpw\"},\"a\":{}}}",
             0600);
  assert_int_equal(ims_credentials_erase(core, root, "a", &err), IMGSTORE_OK);
  assert_string_equal(find("a", "x"), "-/-/-");
  assert_string_equal(find("b", "x"), "u/p/-");
  assert_int_equal(ims_credentials_erase(core, root, "a", &err), IMGSTORE_ENOTFOUND);
  assert_int_equal(ims_credentials_erase(core, path_of("nowhere"), "a", NULL), IMGSTORE_ENOTFOUND);
  assert_int_equal(access(path_of("nowhere"), F_OK), -1);
}

static void test_helper_store_and_erase(void **state) {
  ims_error err = IMS_ERROR_INIT;
  use_helper();
  write_file("config.json", "{\"credsStore\":\"test\",\"auths\":{\"a.example\":{\"auth\":\"b2xkOm9sZA==\"}}}", 0600);
  store("a.example", "u", "p\"w", NULL, IMGSTORE_OK);
  store("b.example", NULL, NULL, "idt", IMGSTORE_OK);
  assert_string_equal(read_file("log"),
                      "store {\"ServerURL\":\"a.example\",\"Username\":\"u\",\"Secret\":\"p\\\"w\"}\n"
                      "store {\"ServerURL\":\"b.example\",\"Username\":\"<token>\",\"Secret\":\"idt\"}\n");
  assert_null(strstr(read_file("config.json"), "b2xk")); /* the old one in plain text is gone */
  assert_non_null(strstr(read_file("config.json"), "\"b.example\": {}"));
  store("broken.example", "u", "p", NULL, IMGSTORE_EIO);
  unlink(path_of("log"));
  assert_int_equal(ims_credentials_erase(core, root, "a.example", &err), IMGSTORE_OK);
  assert_string_equal(read_file("log"), "erase a.example\n");
  assert_null(strstr(read_file("config.json"), "a.example"));
  assert_int_equal(ims_credentials_erase(core, root, "missing.example", &err), IMGSTORE_ENOTFOUND);
}

static void test_proxies(void **state) {
  static const char *const names[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                      "all_proxy",  "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
  char *http, *https, *none;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    unsetenv(names[i]);
  setenv("HTTP_PROXY", "http://evil", 1);
  setenv("HTTPS_PROXY", "http://s", 1);
  setenv("NO_PROXY", "a,b", 1);
  assert_int_equal(ims_environment_proxy(core, &http, &https, &none, NULL), IMGSTORE_OK);
  assert_null(http);
  assert_string_equal(https, "http://s");
  assert_string_equal(none, "a,b");
  ims_free(&core->alloc, https);
  ims_free(&core->alloc, none);
  setenv("ALL_PROXY", "http://all", 1);
  setenv("https_proxy", "", 1);
  assert_int_equal(ims_environment_proxy(core, &http, &https, &none, NULL), IMGSTORE_OK);
  assert_string_equal(http, "http://all");
  assert_null(https);
  ims_free(&core->alloc, http);
  ims_free(&core->alloc, none);
}

static void test_no_memory(void **state) {
  const ims_credential_sources sources = {root, NULL, false};
  const ims_credential c = {(char *)(uintptr_t) "u", (char *)(uintptr_t) "p", (char *)(uintptr_t) "t"};
  int32_t code = IMGSTORE_ENOMEM;
  use_helper();
  for (long i = 0; code == IMGSTORE_ENOMEM; i++) {
    ims_error err = IMS_ERROR_INIT;
    ims_credential got;
    unlink(path_of("config.json"));
    write_file("config.json", "{\"x\":[1,2],\"auths\":{\"b\":{}}}", 0600);
    memory.left = i;
    code = ims_credentials_store(core, root, "a", &c, &err);
    if (code == IMGSTORE_OK)
      code = ims_credentials_find(core, &sources, "a", "r", NULL, &got, &err);
    if (code == IMGSTORE_OK) {
      ims_credential_free(core, &got);
      code = ims_credentials_erase(core, root, "a", &err);
    }
    memory.left = -1;
    assert_true(code == IMGSTORE_OK || code == IMGSTORE_ENOMEM);
  }
  code = IMGSTORE_ENOMEM;
  write_file("config.json", "{\"credsStore\":\"test\"}", 0600);
  for (long i = 0; code == IMGSTORE_ENOMEM; i++) {
    ims_error err = IMS_ERROR_INIT;
    ims_credential got;
    memory.left = i;
    code = ims_credentials_find(core, &sources, "a", "r", NULL, &got, &err);
    memory.left = -1;
    assert_true(code == IMGSTORE_OK || code == IMGSTORE_ENOMEM);
    ims_credential_free(core, &got);
  }
}

static int open_core(void **state) {
  const imgstore_allocator allocator = {sizeof allocator, &memory, failing_allocate, failing_reallocate,
                                        failing_release};
  imgstore_context_options options = {.size = sizeof options, .allocator = &allocator};
  core = ims_core_new(&options);
  return core && mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk) {
  return remove(path);
}

static int close_core(void **state) {
  ims_core_unref(core);
  return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_keys),
      cmocka_unit_test(test_file),
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_environment),
      cmocka_unit_test(test_malformed),
      cmocka_unit_test(test_helper_get),
      cmocka_unit_test(test_helper_with_ignored_children),
      cmocka_unit_test(test_helper_cancelled_and_late),
      cmocka_unit_test(test_store),
      cmocka_unit_test(test_store_keeps_the_rest),
      cmocka_unit_test(test_store_through_a_link),
      cmocka_unit_test(test_store_makes_folders),
      cmocka_unit_test(test_many_logins_at_once),
      cmocka_unit_test(test_erase),
      cmocka_unit_test(test_helper_store_and_erase),
      cmocka_unit_test(test_proxies),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, open_core, close_core);
}
