/*
 * oci/inspect.c (L1) - the JSON object that `docker image inspect` shows, from config and manifest.
 */
#include <string.h>

#include "base/text.h"
#include "imgstore/image.h"
#include "oci/config.h"
#include "oci/reference.h"

static void put_text(ims_buf *out, const char *text) {
  ims_json_put_string(out, text, strlen(text));
}

/* ,"Key":"text" - or without the comma for the first member. */
static void put_member(ims_buf *out, const char *key, const char *text) {
  ims_buf_printf(out, "%s\"%s\":", out->size && out->data[out->size - 1] == '{' ? "" : ",", key);
  put_text(out, text);
}

enum { NAMES_TAGS, NAMES_DIGESTS };

/* A line break and the short name up to its tag or digest. */
static void put_short_name(ims_buf *out, const imgstore_reference *r) {
  size_t size = strlen(r->familiar);
  size -= r->tag ? strlen(r->tag) + 1 : 0;
  size -= r->digest.algorithm ? strlen(r->digest.text) + 1 : 0;
  ims_buf_putc(out, '\n');
  ims_buf_append(out, r->familiar, size);
}

/* A line break and one name as it is listed: "alpine:3.20" or "alpine@sha256:..."; empty when it has no such form. */
static int32_t format_name(ims_buf *out, const ims_alloc *alloc, const char *name, const char *target, int form) {
  imgstore_reference *r;
  ims_buf_clear(out);
  int32_t rc = ims_reference_parse(&r, alloc, name, NULL);
  if (rc == IMGSTORE_ENOMEM)
    return rc;
  if (rc != IMGSTORE_OK) { /* stored under a name of another tool's making */
    if (form == NAMES_TAGS)
      ims_buf_printf(out, "\n%s", name);
    return out->failed;
  }
  if (form == NAMES_DIGESTS) {
    put_short_name(out, r);
    ims_buf_printf(out, "@%s", target);
  } else if (r->tag) {
    put_short_name(out, r);
    ims_buf_printf(out, ":%s", r->tag);
  }
  imgstore_reference_unref(r);
  return out->failed;
}

/* Two tags of one repository have one digest: names that are listed already are left out. */
static int32_t put_names(ims_buf *out, const ims_config *c, const char *const *names, size_t count, const char *target,
                         int form) {
  ims_buf name, seen;
  ims_buf_init(&name, &c->alloc, out->ceiling);
  ims_buf_init(&seen, &c->alloc, out->ceiling);
  int32_t rc = IMGSTORE_OK;
  ims_buf_putc(&seen, '\n');
  ims_buf_putc(out, '[');
  for (size_t i = 0; i < count && rc == IMGSTORE_OK; i++) {
    rc = format_name(&name, &c->alloc, names[i], target, form);
    if (rc != IMGSTORE_OK || !name.size)
      continue;
    bool first = seen.size == 1;
    rc = ims_buf_putc(&name, '\n');
    if (rc != IMGSTORE_OK || strstr(ims_buf_text(&seen), ims_buf_text(&name)))
      continue;
    rc = ims_buf_append(&seen, name.data + 1, name.size - 1);
    ims_buf_puts(out, first ? "" : ",");
    ims_json_put_string(out, name.data + 1, name.size - 2);
  }
  ims_buf_putc(out, ']');
  if (rc == IMGSTORE_OK)
    rc = seen.failed;
  ims_buf_free(&name);
  ims_buf_free(&seen);
  return rc;
}

static void put_list(ims_buf *out, const ims_list *list) {
  if (!list->count) {
    ims_buf_puts(out, "null");
    return;
  }
  for (size_t i = 0; i < list->count; i++) {
    ims_buf_putc(out, i ? ',' : '[');
    put_text(out, list->items[i].value);
  }
  ims_buf_putc(out, ']');
}

typedef struct config_member {
  const char *key;
  int text; /* IMGSTORE_IMAGE_* of a text, or 0 */
  int list; /* IMGSTORE_IMAGE_* of a list of strings, or 0; neither: copied, null when absent */
} config_member;

/* What Docker shows for every image; lists that may be written as one string are shown as lists. */
static const config_member config_members[] = {
    {"User", IMGSTORE_IMAGE_USER, 0},
    {"Env", 0, IMGSTORE_IMAGE_ENV},
    {"Cmd", 0, IMGSTORE_IMAGE_CMD},
    {"Volumes", 0, 0},
    {"WorkingDir", IMGSTORE_IMAGE_WORKING_DIR, 0},
    {"Entrypoint", 0, IMGSTORE_IMAGE_ENTRYPOINT},
    {"OnBuild", 0, IMGSTORE_IMAGE_ONBUILD},
    {"Labels", 0, 0},
};

static bool is_shown_always(const char *key) {
  for (size_t i = 0; i < sizeof config_members / sizeof *config_members; i++)
    if (ims_equal_fold(key, config_members[i].key))
      return true;
  return false;
}

static void put_config(ims_buf *out, const ims_config *c) {
  const ims_json_value *inner = ims_json_get(ims_json_root(c->json), "config");
  ims_buf_puts(out, ",\"Config\":");
  for (size_t i = 0; i < sizeof config_members / sizeof *config_members; i++) {
    const config_member *m = &config_members[i];
    ims_buf_printf(out, "%c\"%s\":", i ? ',' : '{', m->key);
    if (m->text)
      put_text(out, c->text[m->text]);
    else if (m->list)
      put_list(out, &c->list[m->list]);
    else
      ims_json_put_value(out, ims_json_get(inner, m->key));
  }
  for (const ims_json_value *v = ims_json_first(inner); v; v = ims_json_next(v)) {
    const char *key = ims_json_key(v);
    if (is_shown_always(key))
      continue;
    ims_buf_putc(out, ',');
    put_text(out, key);
    ims_buf_putc(out, ':');
    if (strcmp(key, "Shell") == 0)
      put_list(out, &c->list[IMGSTORE_IMAGE_SHELL]);
    else
      ims_json_put_value(out, v);
  }
  ims_buf_putc(out, '}');
}

static void put_optional(ims_buf *out, const ims_config *c, const char *key, int field) {
  if (c->text[field][0])
    put_member(out, key, c->text[field]);
}

static void put_rootfs(ims_buf *out, const ims_config *c) {
  ims_buf_puts(out, ",\"RootFS\":{\"Type\":\"layers\",\"Layers\":[");
  for (size_t i = 0; i < c->layer_count; i++) {
    ims_buf_puts(out, i ? "," : "");
    put_text(out, c->diff_ids[i].text);
  }
  ims_buf_puts(out, "]}");
}

static void put_manifest(ims_buf *out, const imgstore_manifest *m) {
  ims_buf_puts(out, ",\"Descriptor\":{");
  put_member(out, "mediaType", m->media_type);
  put_member(out, "digest", m->digest.text);
  ims_buf_printf(out, ",\"size\":%zu}", m->size);
}

static uint64_t compressed_size(const imgstore_manifest *m) {
  uint64_t total = 0;
  for (size_t i = 0; i < m->count; i++)
    if (!ims_add_u64(total, m->entries[i].size, &total))
      return UINT64_MAX;
  return total;
}

static void put_platform_and_size(ims_buf *out, const ims_config *c, const imgstore_manifest *m) {
  put_member(out, "Architecture", c->text[IMGSTORE_IMAGE_ARCHITECTURE]);
  put_optional(out, c, "Variant", IMGSTORE_IMAGE_VARIANT);
  put_member(out, "Os", c->text[IMGSTORE_IMAGE_OS]);
  put_optional(out, c, "OsVersion", IMGSTORE_IMAGE_OS_VERSION);
  ims_buf_printf(out, ",\"Size\":%llu", (unsigned long long)compressed_size(m));
}

int32_t ims_config_inspect(const ims_config *config, const imgstore_manifest *manifest, const char *target,
                           const char *const *names, size_t count, ims_buf *out) {
  ims_buf compact;
  ims_buf_init(&compact, &config->alloc, out->ceiling);
  ims_buf_putc(&compact, '{');
  put_member(&compact, "Id", manifest->config ? manifest->config->digest.text : "");
  ims_buf_puts(&compact, ",\"RepoTags\":");
  int32_t rc = put_names(&compact, config, names, count, target, NAMES_TAGS);
  ims_buf_puts(&compact, ",\"RepoDigests\":");
  if (rc == IMGSTORE_OK)
    rc = put_names(&compact, config, names, target && target[0] ? count : 0, target, NAMES_DIGESTS);
  put_member(&compact, "Parent", "");
  put_member(&compact, "Comment", config->text[IMGSTORE_IMAGE_COMMENT]);
  put_member(&compact, "Created", config->text[IMGSTORE_IMAGE_CREATED]);
  put_member(&compact, "DockerVersion", config->text[IMGSTORE_IMAGE_DOCKER_VERSION]);
  put_member(&compact, "Author", config->text[IMGSTORE_IMAGE_AUTHOR]);
  put_config(&compact, config);
  put_platform_and_size(&compact, config, manifest);
  put_rootfs(&compact, config);
  put_manifest(&compact, manifest);
  ims_buf_putc(&compact, '}');
  if (rc == IMGSTORE_OK)
    rc = compact.failed;
  if (rc == IMGSTORE_OK)
    ims_json_pretty(out, ims_buf_text(&compact), compact.size, 0);
  ims_buf_free(&compact);
  return rc != IMGSTORE_OK ? rc : out->failed;
}
