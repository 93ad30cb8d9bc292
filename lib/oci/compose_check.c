/*
 * oci/compose_check.c (L1) - what the fields of composed documents take (image-spec config, annotations, descriptor).
 */
#include "oci/compose_check.h"

#include <string.h>

#include "base/text.h"
#include "imgstore/image.h"
#include "oci/time.h"

static bool is_control(unsigned char c) {
  return c < 0x20 || c == 0x7f;
}

static bool has_control(const char *text, const char *allowed) {
  for (; *text; text++)
    if (is_control((unsigned char)*text) && !strchr(allowed, *text))
      return true;
  return false;
}

int32_t ims_check_text(const char *text, const char *what, ims_error *err) {
  if (!ims_utf8_valid(text, strlen(text)))
    return ims_fail(err, IMGSTORE_EINVALID, "%s: \"%.100s\" is not UTF-8", what, text);
  if (has_control(text, "\t\n\r"))
    return ims_fail(err, IMGSTORE_EINVALID, "%s: \"%.100s\" has control characters", what, text);
  return IMGSTORE_OK;
}

static int32_t bad(ims_error *err, const char *what, const char *text, const char *form) {
  return ims_fail(err, IMGSTORE_EINVALID, "%s: \"%.200s\" is not %s", what, text, form);
}

static int32_t check_created(const char *text, ims_error *err) {
  int64_t seconds;
  return ims_time_parse(text, &seconds, NULL) ? IMGSTORE_OK
                                              : bad(err, "created", text, "a time such as 2024-01-02T03:04:05Z");
}

static bool is_word(const char *text, const char *also) {
  for (const char *s = text; *s; s++)
    if (!ims_is_alnum(*s) && !strchr(also, *s))
      return false;
  return *text != '\0';
}

static int32_t check_platform_part(const char *what, const char *text, ims_error *err) {
  if (is_word(text, "._-") && strlen(text) < IMS_PLATFORM_PART)
    return IMGSTORE_OK;
  return bad(err, what, text, "a word of letters, digits, '.', '_' and '-'");
}

static int32_t check_stop_signal(const char *text, ims_error *err) {
  uint64_t number;
  bool numeric = ims_parse_u64(text, strlen(text), 64, &number) && number > 0;
  bool named = *text >= 'A' && *text <= 'Z' && is_word(text, "+-") && strlen(text) <= 16;
  return numeric || named ? IMGSTORE_OK : bad(err, "stop signal", text, "a name such as SIGTERM or a number 1..64");
}

int32_t ims_check_field(int32_t field, const char *text, ims_error *err) {
  if (!*text)
    return IMGSTORE_OK;
  switch (field) {
  case IMGSTORE_IMAGE_CREATED:
    return check_created(text, err);
  case IMGSTORE_IMAGE_OS:
    return check_platform_part("os", text, err);
  case IMGSTORE_IMAGE_ARCHITECTURE:
    return check_platform_part("architecture", text, err);
  case IMGSTORE_IMAGE_VARIANT:
    return check_platform_part("variant", text, err);
  case IMGSTORE_IMAGE_OS_VERSION:
    return check_platform_part("os.version", text, err);
  case IMGSTORE_IMAGE_STOP_SIGNAL:
    return check_stop_signal(text, err);
  case IMGSTORE_IMAGE_USER:
    return has_control(text, "") ? bad(err, "user", text, "a user") : ims_check_text(text, "user", err);
  case IMGSTORE_IMAGE_WORKING_DIR:
    if (text[0] != '/' || has_control(text, ""))
      return bad(err, "working directory", text, "an absolute path");
    return ims_check_text(text, "working directory", err);
  default:
    return ims_check_text(text, field == IMGSTORE_IMAGE_AUTHOR ? "author" : "comment", err);
  }
}

/* PORT[-PORT][/tcp|udp|sctp], image-spec config "ExposedPorts" and Docker's ranges. */
static bool is_port(const char *text) {
  size_t size = strcspn(text, "/");
  const char *dash = memchr(text, '-', size);
  size_t first_size = dash ? (size_t)(dash - text) : size;
  uint64_t first, last;
  if (!ims_parse_u64(text, first_size, 65535, &first) || !first)
    return false;
  if (dash && (!ims_parse_u64(dash + 1, size - first_size - 1, 65535, &last) || last < first))
    return false;
  const char *protocol = text + size;
  return !*protocol || !strcmp(protocol, "/tcp") || !strcmp(protocol, "/udp") || !strcmp(protocol, "/sctp");
}

/* Whatever a kernel takes in environ, so long as it is text: NAME=VALUE. */
static int32_t check_env(const char *text, ims_error *err) {
  const char *equals = strchr(text, '=');
  if (!equals || equals == text)
    return bad(err, "env", text, "of the form NAME=VALUE");
  for (const char *s = text; s < equals; s++)
    if (is_control((unsigned char)*s) || *s == ' ')
      return bad(err, "env", text, "of the form NAME=VALUE");
  return ims_utf8_valid(text, strlen(text)) ? IMGSTORE_OK : bad(err, "env", text, "UTF-8");
}

static int32_t check_utf8(const char *text, const char *what, ims_error *err) {
  return ims_utf8_valid(text, strlen(text)) ? IMGSTORE_OK : bad(err, what, text, "UTF-8");
}

int32_t ims_check_item(int32_t list, const ims_pair *item, ims_error *err) {
  switch (list) {
  case IMGSTORE_IMAGE_ENV:
    return check_env(item->value, err);
  case IMGSTORE_IMAGE_PORTS:
    return is_port(item->value) ? IMGSTORE_OK : bad(err, "port", item->value, "of the form PORT[-PORT][/tcp|udp|sctp]");
  case IMGSTORE_IMAGE_VOLUMES:
    if (item->value[0] != '/' || has_control(item->value, ""))
      return bad(err, "volume", item->value, "an absolute path");
    return ims_check_text(item->value, "volume", err);
  case IMGSTORE_IMAGE_LABELS:
    if (!*item->key || has_control(item->key, ""))
      return bad(err, "label", item->key, "a name");
    if (check_utf8(item->key, "label", err))
      return IMGSTORE_EINVALID;
    return check_utf8(item->value, "label", err);
  default:
    return check_utf8(item->value, "argument", err);
  }
}

/* Docker's rules for the first word; durations are 0 or at least a millisecond. */
int32_t ims_check_healthcheck(const ims_healthcheck *h, ims_error *err) {
  const char *kind = h->test.items[0].value;
  bool none = strcmp(kind, "NONE") == 0;
  if (none ? h->test.count != 1 : h->test.count < 2 || (strcmp(kind, "CMD") != 0 && strcmp(kind, "CMD-SHELL") != 0))
    return ims_fail(err, IMGSTORE_EINVALID, "healthcheck: the test is not NONE, CMD with arguments or CMD-SHELL");
  const uint64_t times[] = {h->interval, h->timeout, h->start_period, h->start_interval};
  for (size_t i = 0; i < 4; i++)
    if ((times[i] && times[i] < 1000000) || times[i] > UINT64_C(1) << 53)
      return ims_fail(err, IMGSTORE_EINVALID, "healthcheck: a duration is less than a millisecond or over 2^53 ns");
  for (size_t i = 0; i < h->test.count; i++)
    if (ims_check_item(IMGSTORE_IMAGE_CMD, &h->test.items[i], err))
      return IMGSTORE_EINVALID;
  return h->retries > 1000 ? ims_fail(err, IMGSTORE_EINVALID, "healthcheck: more than 1000 retries") : IMGSTORE_OK;
}

/* RFC 6838, section 4.2: restricted-name. */
static size_t restricted_name(const char *s) {
  size_t size = 0;
  while (ims_is_alnum(s[size]) || (size && s[size] && strchr("!#$&-^_.+", s[size])))
    size++;
  return size <= 127 ? size : 0;
}

int32_t ims_check_media_type(const char *text, const char *what, ims_error *err) {
  size_t type = restricted_name(text);
  size_t subtype = type && text[type] == '/' ? restricted_name(text + type + 1) : 0;
  if (!subtype || text[type + 1 + subtype])
    return bad(err, what, text, "a media type");
  return IMGSTORE_OK;
}

int32_t ims_check_annotations(const ims_pair *pairs, size_t count, ims_error *err) {
  for (size_t i = 0; i < count; i++) {
    if (!pairs[i].key[0] || has_control(pairs[i].key, "") || check_utf8(pairs[i].key, "annotation", NULL))
      return bad(err, "annotation", pairs[i].key, "a name");
    if (check_utf8(pairs[i].value, "annotation", NULL))
      return ims_fail(err, IMGSTORE_EINVALID, "annotation %.100s: the value is not UTF-8", pairs[i].key);
  }
  return IMGSTORE_OK;
}

int32_t ims_check_descriptor(const imgstore_descriptor *d, ims_error *err) {
  if (!d->digest.algorithm)
    return ims_fail(err, IMGSTORE_EINVALID, "a descriptor has no digest");
  if (d->size > UINT64_C(1) << 53)
    return ims_fail(err, IMGSTORE_EINVALID, "descriptor %s: size %llu is more than 2^53", d->digest.text,
                    (unsigned long long)d->size);
  int32_t rc = ims_check_media_type(d->media_type ? d->media_type : "", "mediaType", err);
  if (!rc && d->artifact_type)
    rc = ims_check_media_type(d->artifact_type, "artifactType", err);
  for (size_t i = 0; !rc && i < d->url_count; i++)
    rc = ims_check_text(d->urls[i], "url", err);
  return rc ? rc : ims_check_annotations(d->annotations, d->annotation_count, err);
}

/* --- sorting ------------------------------------------------------------------------------------------------------ */

static const char *sort_key(const ims_pair *pair, bool by_value) {
  return by_value ? pair->value : pair->key;
}

static void sift_down(const ims_pair **heap, size_t at, size_t count, bool by_value) {
  const ims_pair *moving = heap[at];
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && strcmp(sort_key(heap[child], by_value), sort_key(heap[child + 1], by_value)) < 0)
      child++;
    if (strcmp(sort_key(moving, by_value), sort_key(heap[child], by_value)) >= 0)
      break;
    heap[at] = heap[child];
  }
  heap[at] = moving;
}

int32_t ims_sort_pairs(const ims_alloc *alloc, const ims_pair *pairs, size_t count, bool by_value,
                       const ims_pair ***sorted, ims_error *err) {
  *sorted = NULL;
  if (!count)
    return IMGSTORE_OK;
  const ims_pair **items = ims_calloc(alloc, count, sizeof *items);
  if (!items)
    return ims_fail_nomem(err);
  for (size_t i = 0; i < count; i++)
    items[i] = &pairs[i];
  for (size_t i = count / 2; i-- > 0;)
    sift_down(items, i, count, by_value);
  for (size_t i = count; i-- > 1;) {
    const ims_pair *top = items[0];
    items[0] = items[i];
    items[i] = top;
    sift_down(items, 0, i, by_value);
  }
  *sorted = items;
  return IMGSTORE_OK;
}
