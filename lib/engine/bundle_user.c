/*
 * engine/bundle_user.c (L4) - reading passwd(5) and group(5) of a root file system: bounded, inside the root, regular
 * files only. Both files are the image's: lines that are none are skipped.
 */
#include "engine/bundle_user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { FIELDS = 7, ID_MAX = UINT32_MAX - 1, READ_PIECE = 32768 };

/* --- reading ------------------------------------------------------------------------------------------------------ */

static int32_t read_all(const ims_sys *sys, int fd, ims_buf *out, const char *path, ims_error *err) {
  for (;;) {
    int32_t rc = ims_buf_reserve(out, READ_PIECE);
    if (rc == IMGSTORE_ELIMIT)
      return ims_fail(err, rc, "%s of the root file system is over %d bytes", path, IMS_USER_FILE_MAX);
    if (rc)
      return ims_fail_nomem(err);
    ssize_t got = sys->read(fd, out->data + out->size, READ_PIECE);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return ims_fail_os(err, errno, "cannot read %s of the root file system", path);
    if (got == 0)
      return IMGSTORE_OK;
    out->size += (size_t)got;
    out->data[out->size] = '\0';
  }
}

/* A file that is not there is empty. A pipe or device in its place is never opened for good. */
static int32_t load(const ims_core *core, int root, const char *path, ims_buf *out, ims_error *err) {
  struct stat st;
  ims_buf_init(out, &core->alloc, IMS_USER_FILE_MAX + READ_PIECE);
  int fd = ims_open_in_root(core->sys, root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
    return IMGSTORE_OK;
  if (fd < 0)
    return ims_fail_os(err, errno, "cannot open %s of the root file system", path);
  int32_t rc;
  if (core->sys->fstat(fd, &st) != 0)
    rc = ims_fail_os(err, errno, "cannot look at %s of the root file system", path);
  else if (!S_ISREG(st.st_mode))
    rc = ims_fail(err, IMGSTORE_EFORMAT, "%s of the root file system is not a regular file", path);
  else
    rc = read_all(core->sys, fd, out, path, err);
  core->sys->close(fd);
  return rc;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

typedef struct piece {
  const char *at;
  size_t size;
} piece;

typedef struct lines {
  const char *at, *end;
  piece fields[FIELDS];
  size_t count; /* of fields in the line */
} lines;

static void split(lines *l, const char *line, size_t size) {
  l->count = 0;
  for (const char *end = line + size; l->count < FIELDS; line++) {
    const char *colon = l->count + 1 < FIELDS ? memchr(line, ':', (size_t)(end - line)) : NULL;
    const char *stop = colon ? colon : end;
    l->fields[l->count++] = (piece){line, (size_t)(stop - line)};
    if (!colon)
      break;
    line = colon;
  }
}

static bool next_line(lines *l) {
  if (l->at == l->end)
    return false;
  const char *newline = memchr(l->at, '\n', (size_t)(l->end - l->at));
  const char *stop = newline ? newline : l->end;
  split(l, l->at, (size_t)(stop - l->at));
  l->at = newline ? newline + 1 : l->end;
  return true;
}

static lines lines_of(const ims_buf *text) {
  lines l = {.at = ims_buf_text(text)};
  l.end = l.at + text->size;
  return l;
}

static bool is_text(const piece *p, const char *text, size_t size) {
  return size && p->size == size && memcmp(p->at, text, size) == 0;
}

static bool is_id(const piece *p, uint32_t *id) {
  uint64_t wide;
  if (!ims_parse_u64(p->at, p->size, ID_MAX, &wide))
    return false;
  *id = (uint32_t)wide;
  return true;
}

static void copy_field(char *out, size_t capacity, const piece *p) {
  bool fits = p->size < capacity && !memchr(p->at, '\0', p->size) && ims_utf8_valid(p->at, p->size);
  memcpy(out, p->at, fits ? p->size : 0);
  out[fits ? p->size : 0] = '\0';
}

/* --- users and groups --------------------------------------------------------------------------------------------- */

/* The first line whose name is want, or whose number it is. */
static bool find_user(ims_user *user, const ims_buf *passwd, const piece *want, bool numeric) {
  lines l = lines_of(passwd);
  while (next_line(&l)) {
    uint32_t uid, gid;
    if (l.count < 4 || !l.fields[0].size || !is_id(&l.fields[2], &uid) || !is_id(&l.fields[3], &gid))
      continue;
    if (!is_text(&l.fields[0], want->at, want->size) && !(numeric && uid == user->uid))
      continue;
    user->uid = uid;
    user->gid = gid;
    copy_field(user->name, sizeof user->name, &l.fields[0]);
    if (l.count >= 6)
      copy_field(user->home, sizeof user->home, &l.fields[5]);
    return true;
  }
  return false;
}

static bool find_group(uint32_t *gid, const ims_buf *group, const piece *want) {
  lines l = lines_of(group);
  while (next_line(&l)) {
    uint32_t found;
    if (l.count >= 3 && is_text(&l.fields[0], want->at, want->size) && is_id(&l.fields[2], &found)) {
      *gid = found;
      return true;
    }
  }
  return false;
}

static bool lists(const piece *members, const char *name) {
  size_t size = strlen(name);
  const char *end = members->at + members->size;
  for (const char *at = members->at; at < end;) {
    const char *comma = memchr(at, ',', (size_t)(end - at));
    piece one = {at, (size_t)((comma ? comma : end) - at)};
    if (is_text(&one, name, size))
      return true;
    at += one.size + 1;
  }
  return false;
}

static int32_t add_group(ims_user *user, uint32_t gid, ims_error *err) {
  size_t at = 0;
  while (at < user->group_count && user->groups[at] < gid)
    at++;
  if (gid == user->gid || (at < user->group_count && user->groups[at] == gid))
    return IMGSTORE_OK;
  if (user->group_count == IMS_USER_GROUPS)
    return ims_fail(err, IMGSTORE_ELIMIT, "user %s is in more than %d groups", user->name, IMS_USER_GROUPS);
  uint32_t *groups = ims_realloc_array(user->alloc, user->groups, user->group_count + 1, sizeof *groups);
  if (!groups)
    return ims_fail_nomem(err);
  user->groups = groups;
  memmove(groups + at + 1, groups + at, (user->group_count - at) * sizeof *groups);
  groups[at] = gid;
  user->group_count++;
  return IMGSTORE_OK;
}

static int32_t add_groups(ims_user *user, const ims_buf *group, ims_error *err) {
  lines l = lines_of(group);
  int32_t rc = IMGSTORE_OK;
  while (!rc && *user->name && next_line(&l)) {
    uint32_t gid;
    if (l.count >= 4 && is_id(&l.fields[2], &gid) && lists(&l.fields[3], user->name))
      rc = add_group(user, gid, err);
  }
  return rc;
}

static int32_t choose_user(ims_user *user, const ims_buf *passwd, const piece *want, const char *text, ims_error *err) {
  static const piece root = {"0", 1};
  const piece *who = want->size ? want : &root;
  bool numeric = is_id(who, &user->uid);
  if (find_user(user, passwd, who, numeric) || numeric)
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_ENOTFOUND, "user \"%.200s\": not in /etc/passwd of the root file system", text);
}

/* A group that is named replaces all others; without one, the user's own groups count. */
static int32_t choose_groups(ims_user *user, const ims_buf *group, const piece *want, const char *text,
                             ims_error *err) {
  if (!want->size)
    return add_groups(user, group, err);
  if (find_group(&user->gid, group, want) || is_id(want, &user->gid))
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_ENOTFOUND, "user \"%.200s\": its group is not in /etc/group of the root file system",
                  text);
}

int32_t ims_user_find(ims_user *user, const ims_core *core, int root, const char *text, ims_error *err) {
  ims_buf passwd, group;
  size_t size = strcspn(text, ":");
  piece who = {text, size}, with = {text + size + (text[size] == ':'), 0};
  with.size = strlen(with.at);
  memset(user, 0, sizeof *user);
  user->alloc = &core->alloc;
  if (memchr(with.at, ':', with.size))
    return ims_fail(err, IMGSTORE_EFORMAT, "user \"%.200s\": more than one colon", text);
  ims_buf_init(&group, &core->alloc, 1);
  int32_t rc = load(core, root, "/etc/passwd", &passwd, err);
  if (!rc)
    rc = choose_user(user, &passwd, &who, text, err);
  if (!rc)
    rc = load(core, root, "/etc/group", &group, err);
  if (!rc)
    rc = choose_groups(user, &group, &with, text, err);
  ims_buf_free(&passwd);
  ims_buf_free(&group);
  return rc;
}

void ims_user_free(ims_user *user) {
  ims_free(user->alloc, user->groups);
  user->groups = NULL;
  user->group_count = 0;
}
