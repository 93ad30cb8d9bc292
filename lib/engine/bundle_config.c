/*
 * engine/bundle_config.c (L4) - the text of config.json. Everything that comes from the image goes through the JSON
 * writer; nothing of it becomes a host path, a hook or a device.
 */
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "engine/bundle.h"
#include "json/json.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { HOSTNAME_MAX = 63, TTY_GROUP = 5 };

static const char *const capabilities[] = {
    "CAP_AUDIT_WRITE", "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",    "CAP_FSETID",
    "CAP_KILL",        "CAP_MKNOD",   "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",   "CAP_SETFCAP",
    "CAP_SETGID",      "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT"};
static const char *const masked_paths[] = {"/proc/acpi",
                                           "/proc/asound",
                                           "/proc/kcore",
                                           "/proc/keys",
                                           "/proc/latency_stats",
                                           "/proc/timer_list",
                                           "/proc/timer_stats",
                                           "/proc/sched_debug",
                                           "/proc/scsi",
                                           "/sys/firmware",
                                           "/sys/devices/virtual/powercap"};
static const char *const read_only_paths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

bool ims_bundle_maps(const imgstore_id_map *map, size_t count, uint32_t id) {
  for (size_t i = 0; i < count; i++)
    if (id >= map[i].inside && id - map[i].inside < map[i].count)
      return true;
  return !count;
}

/* --- pieces of JSON ----------------------------------------------------------------------------------------------- */

static void put_string(ims_buf *out, const char *text) {
  ims_json_put_string(out, text, strlen(text));
}

/* An array being written: a comma before all but the first. */
typedef struct array {
  ims_buf *out;
  bool any;
} array;

static array array_begin(ims_buf *out, const char *key) {
  ims_buf_printf(out, "\"%s\":[", key);
  return (array){out, false};
}

static void array_next(array *a) {
  if (a->any)
    ims_buf_putc(a->out, ',');
  a->any = true;
}

static void array_string(array *a, const char *text) {
  array_next(a);
  put_string(a->out, text);
}

static void array_end(array *a) {
  ims_buf_putc(a->out, ']');
}

static void put_list(ims_buf *out, const char *key, const char *const *items, size_t count) {
  array a = array_begin(out, key);
  for (size_t i = 0; i < count; i++)
    array_string(&a, items[i]);
  array_end(&a);
}

/* --- process ------------------------------------------------------------------------------------------------------ */

static size_t put_image_list(array *a, const ims_config *config, int32_t which) {
  const ims_list *list = &config->list[which];
  for (size_t i = 0; i < list->count; i++)
    array_string(a, list->items[i].value);
  return list->count;
}

static int32_t put_args(const ims_bundle *b, ims_buf *out, ims_error *err) {
  const imgstore_bundle_options *o = b->options;
  size_t count = 0;
  array a = array_begin(out, "args");
  for (size_t i = 0; o->entrypoint && i < o->entrypoint_count; i++, count++)
    array_string(&a, o->entrypoint[i]);
  if (!o->entrypoint)
    count += put_image_list(&a, b->config, IMGSTORE_IMAGE_ENTRYPOINT);
  for (size_t i = 0; o->args && i < o->arg_count; i++, count++)
    array_string(&a, o->args[i]);
  /* A command of the image is made for its own entrypoint. */
  if (!o->args && !o->entrypoint)
    count += put_image_list(&a, b->config, IMGSTORE_IMAGE_CMD);
  array_end(&a);
  if (count)
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EINVALID, "rootfs %s: the image names no command: say what to run", b->name);
}

static size_t name_size(const char *variable) {
  return strcspn(variable, "=");
}

static bool same_variable(const char *x, const char *y) {
  size_t size = name_size(x);
  return name_size(y) == size && strncmp(x, y, size) == 0;
}

/* What will be the value of a variable: the caller's last one, else the image's last one. NULL: none. */
static const char *effective(const ims_bundle *b, const char *variable) {
  const imgstore_bundle_options *o = b->options;
  const ims_list *list = &b->config->list[IMGSTORE_IMAGE_ENV];
  for (size_t i = o->env ? o->env_count : 0; i > 0; i--)
    if (same_variable(o->env[i - 1], variable))
      return o->env[i - 1];
  for (size_t i = list->count; i > 0; i--)
    if (same_variable(list->items[i - 1].value, variable))
      return list->items[i - 1].value;
  return NULL;
}

static int32_t put_env(const ims_bundle *b, const ims_user *user, ims_buf *out, ims_error *err) {
  const imgstore_bundle_options *o = b->options;
  const ims_list *list = &b->config->list[IMGSTORE_IMAGE_ENV];
  for (size_t i = 0; o->env && i < o->env_count; i++)
    if (!o->env[i][name_size(o->env[i])] || !name_size(o->env[i]))
      return ims_fail(err, IMGSTORE_EINVALID, "\"%.200s\" is not of the form NAME=VALUE", o->env[i]);
  array a = array_begin(out, "env");
  if (!effective(b, "PATH="))
    array_string(&a, DEFAULT_PATH);
  for (size_t i = 0; i < list->count; i++)
    if (effective(b, list->items[i].value) == list->items[i].value)
      array_string(&a, list->items[i].value);
  for (size_t i = 0; o->env && i < o->env_count; i++)
    if (effective(b, o->env[i]) == o->env[i])
      array_string(&a, o->env[i]);
  if (!effective(b, "HOME=")) {
    char home[IMS_USER_HOME + 8] = "HOME=";
    strcat(home, *user->home ? user->home : user->uid ? "/" : "/root");
    array_string(&a, home);
  }
  if (o->flags & IMGSTORE_BUNDLE_TERMINAL && !effective(b, "TERM="))
    array_string(&a, "TERM=xterm");
  array_end(&a);
  return IMGSTORE_OK;
}

static void put_user(const ims_bundle *b, const ims_user *user, ims_buf *out) {
  ims_buf_printf(out, "\"user\":{\"uid\":%" PRIu32 ",\"gid\":%" PRIu32, user->uid, user->gid);
  bool any = false;
  for (size_t i = 0; i < user->group_count; i++) {
    if (!ims_bundle_maps(b->gid_map, b->gid_map_count, user->groups[i]))
      continue;
    ims_buf_printf(out, "%s%" PRIu32, any ? "," : ",\"additionalGids\":[", user->groups[i]);
    any = true;
  }
  ims_buf_puts(out, any ? "]}" : "}");
}

static void put_capabilities(ims_buf *out) {
  static const char *const sets[] = {"bounding", "effective", "permitted"};
  ims_buf_puts(out, "\"capabilities\":{");
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
    ims_buf_puts(out, i ? "," : "");
    put_list(out, sets[i], capabilities, sizeof capabilities / sizeof *capabilities);
  }
  ims_buf_putc(out, '}');
}

static int32_t put_process(const ims_bundle *b, const ims_bundle_facts *facts, ims_buf *out, ims_error *err) {
  uint32_t flags = b->options->flags;
  ims_buf_printf(out, "\"process\":{\"terminal\":%s,", flags & IMGSTORE_BUNDLE_TERMINAL ? "true" : "false");
  put_user(b, &facts->user, out);
  ims_buf_putc(out, ',');
  int32_t rc = put_args(b, out, err);
  ims_buf_putc(out, ',');
  if (!rc)
    rc = put_env(b, &facts->user, out, err);
  ims_buf_puts(out, ",\"cwd\":");
  put_string(out, facts->cwd);
  ims_buf_putc(out, ',');
  put_capabilities(out);
  ims_buf_printf(out, ",\"noNewPrivileges\":%s}", flags & IMGSTORE_BUNDLE_NO_NEW_PRIVILEGES ? "true" : "false");
  return rc;
}

/* --- mounts ------------------------------------------------------------------------------------------------------- */

static void put_mount(array *a, const char *destination, const char *type, const char *source, const char *options) {
  array_next(a);
  ims_buf_puts(a->out, "{\"destination\":");
  put_string(a->out, destination);
  ims_buf_printf(a->out, ",\"type\":\"%s\",\"source\":", type);
  put_string(a->out, source);
  ims_buf_puts(a->out, ",");
  array list = array_begin(a->out, "options");
  while (*options) {
    size_t size = strcspn(options, ",");
    array_next(&list);
    ims_json_put_string(a->out, options, size);
    options += size + (options[size] == ',');
  }
  array_end(&list);
  ims_buf_putc(a->out, '}');
}

static bool has_user_namespace(const ims_bundle *b) {
  return b->options->flags & IMGSTORE_BUNDLE_ROOTLESS || b->uid_map_count || b->gid_map_count;
}

static void put_mounts(const ims_bundle *b, const ims_bundle_facts *facts, ims_buf *out) {
  bool rootless = b->options->flags & IMGSTORE_BUNDLE_ROOTLESS;
  bool host_network = b->options->flags & IMGSTORE_BUNDLE_HOST_NETWORK;
  bool tty_group = ims_bundle_maps(b->gid_map, b->gid_map_count, TTY_GROUP);
  array a = array_begin(out, "mounts");
  put_mount(&a, "/proc", "proc", "proc", "nosuid,noexec,nodev");
  put_mount(&a, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
  put_mount(&a, "/dev/pts", "devpts", "devpts",
            tty_group ? "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"
                      : "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
  put_mount(&a, "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k");
  put_mount(&a, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
  /* sysfs belongs to the network namespace: without one of its own a user namespace may only bind the host's. */
  if (host_network && has_user_namespace(b))
    put_mount(&a, "/sys", "none", "/sys", "rbind,nosuid,noexec,nodev,ro");
  else
    put_mount(&a, "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro");
  if (!rootless)
    put_mount(&a, "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro");
  for (size_t i = 0; i < facts->volume_count; i++)
    put_mount(&a, facts->volumes[i].path, "bind", facts->volumes[i].source, "rbind,rprivate,nodev,rw");
  array_end(&a);
}

/* --- linux -------------------------------------------------------------------------------------------------------- */

static void put_namespaces(const ims_bundle *b, ims_buf *out) {
  static const char *const always[] = {"pid", "ipc", "uts", "mount", "cgroup"};
  array a = array_begin(out, "namespaces");
  for (size_t i = 0; i < sizeof always / sizeof *always; i++) {
    array_next(&a);
    ims_buf_printf(out, "{\"type\":\"%s\"}", always[i]);
  }
  if (!(b->options->flags & IMGSTORE_BUNDLE_HOST_NETWORK))
    ims_buf_puts(out, ",{\"type\":\"network\"}");
  if (has_user_namespace(b))
    ims_buf_puts(out, ",{\"type\":\"user\"}");
  array_end(&a);
}

static void put_map(ims_buf *out, const char *key, const imgstore_id_map *map, size_t count) {
  array a = array_begin(out, key);
  for (size_t i = 0; i < count; i++) {
    array_next(&a);
    ims_buf_printf(out, "{\"containerID\":%" PRIu32 ",\"hostID\":%" PRIu32 ",\"size\":%" PRIu32 "}", map[i].inside,
                   map[i].outside, map[i].count);
  }
  array_end(&a);
}

static void put_linux(const ims_bundle *b, ims_buf *out) {
  ims_buf_puts(out, "\"linux\":{");
  put_namespaces(b, out);
  if (has_user_namespace(b)) {
    ims_buf_putc(out, ',');
    put_map(out, "uidMappings", b->uid_map, b->uid_map_count);
    ims_buf_putc(out, ',');
    put_map(out, "gidMappings", b->gid_map, b->gid_map_count);
  }
  if (!(b->options->flags & IMGSTORE_BUNDLE_ROOTLESS))
    ims_buf_puts(out, ",\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}");
  ims_buf_putc(out, ',');
  put_list(out, "maskedPaths", masked_paths, sizeof masked_paths / sizeof *masked_paths);
  ims_buf_putc(out, ',');
  put_list(out, "readonlyPaths", read_only_paths, sizeof read_only_paths / sizeof *read_only_paths);
  ims_buf_putc(out, '}');
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

/* A host name of the instance's: what is no letter, digit or "." becomes "-". */
static void put_hostname(const ims_bundle *b, ims_buf *out) {
  char name[HOSTNAME_MAX + 1];
  size_t size = 0;
  ims_buf_puts(out, ",\"hostname\":");
  if (b->options->hostname) {
    put_string(out, b->options->hostname);
    return;
  }
  for (; b->name[size] && size < HOSTNAME_MAX; size++)
    name[size] = ims_is_alnum(b->name[size]) || b->name[size] == '.' ? b->name[size] : '-';
  while (size > 1 && (name[size - 1] == '-' || name[size - 1] == '.'))
    size--;
  name[size] = '\0';
  put_string(out, name);
}

static void put_annotation(ims_buf *out, bool *any, const ims_config *config, const char *key, const char *value) {
  const ims_list *labels = &config->list[IMGSTORE_IMAGE_LABELS];
  for (size_t i = 0; i < labels->count; i++)
    if (strcmp(labels->items[i].key, key) == 0)
      return; /* an explicit label comes before what follows from the config */
  if (!*value)
    return;
  ims_buf_printf(out, "%s\"%s\":", *any ? "," : "", key);
  put_string(out, value);
  *any = true;
}

/* conversion.md, "Annotation Fields". */
static int32_t put_annotations(const ims_bundle *b, ims_buf *out, ims_error *err) {
  static const struct {
    const char *key;
    int32_t field;
  } fields[] = {{"org.opencontainers.image.os", IMGSTORE_IMAGE_OS},
                {"org.opencontainers.image.architecture", IMGSTORE_IMAGE_ARCHITECTURE},
                {"org.opencontainers.image.variant", IMGSTORE_IMAGE_VARIANT},
                {"org.opencontainers.image.os.version", IMGSTORE_IMAGE_OS_VERSION},
                {"org.opencontainers.image.author", IMGSTORE_IMAGE_AUTHOR},
                {"org.opencontainers.image.created", IMGSTORE_IMAGE_CREATED},
                {"org.opencontainers.image.stopSignal", IMGSTORE_IMAGE_STOP_SIGNAL}};
  const ims_config *c = b->config;
  const ims_list *labels = &c->list[IMGSTORE_IMAGE_LABELS], *ports = &c->list[IMGSTORE_IMAGE_PORTS];
  ims_buf text;
  bool any = false;
  ims_buf_init(&text, &b->core->alloc, SIZE_MAX - 1);
  for (size_t i = 0; i < ports->count; i++)
    ims_buf_printf(&text, "%s%s", i ? "," : "", ports->items[i].value);
  ims_buf_puts(out, ",\"annotations\":{");
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    put_annotation(out, &any, c, fields[i].key, c->text[fields[i].field]);
  put_annotation(out, &any, c, "org.opencontainers.image.exposedPorts", ims_buf_text(&text));
  for (size_t i = 0; i < labels->count; i++) {
    ims_buf_puts(out, any ? "," : "");
    put_string(out, labels->items[i].key);
    ims_buf_putc(out, ':');
    put_string(out, labels->items[i].value);
    any = true;
  }
  ims_buf_putc(out, '}');
  int32_t rc = text.failed ? ims_fail_nomem(err) : IMGSTORE_OK;
  ims_buf_free(&text);
  return rc;
}

int32_t ims_bundle_config(const ims_bundle *bundle, const ims_bundle_facts *facts, ims_buf *out, ims_error *err) {
  bool read_only = bundle->options->flags & IMGSTORE_BUNDLE_READ_ONLY || bundle->read_only;
  ims_buf_puts(out, "{\"ociVersion\":\"1.0.2\",");
  int32_t rc = put_process(bundle, facts, out, err);
  ims_buf_puts(out, ",\"root\":{\"path\":");
  put_string(out, bundle->root_path);
  ims_buf_printf(out, ",\"readonly\":%s}", read_only ? "true" : "false");
  put_hostname(bundle, out);
  ims_buf_putc(out, ',');
  put_mounts(bundle, facts, out);
  ims_buf_putc(out, ',');
  put_linux(bundle, out);
  if (!rc)
    rc = put_annotations(bundle, out, err);
  ims_buf_puts(out, "}");
  if (!rc && out->failed)
    rc =
        out->failed == IMGSTORE_ELIMIT ? ims_fail(err, IMGSTORE_ELIMIT, "config.json: too large") : ims_fail_nomem(err);
  return rc;
}
