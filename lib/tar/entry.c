/*
 * tar/entry.c (L1) - from headers to an entry. Where two sources of one field could be read either way by different
 * readers, the entry is refused rather than guessed at.
 */
#include "tar/entry.h"

#include <string.h>

enum { KEPT_CAPACITY = 64 * 1024 };

void ims_tar_draft_init(ims_tar_draft *draft, const ims_alloc *alloc) {
  memset(draft, 0, sizeof *draft);
  ims_buf_init(&draft->pax_text, alloc, IMS_TAR_EXTENSION_MAX);
  ims_buf_init(&draft->long_name, alloc, IMS_TAR_EXTENSION_MAX);
  ims_buf_init(&draft->long_link, alloc, IMS_TAR_EXTENSION_MAX);
  ims_tar_xattrs_init(&draft->xattrs, alloc);
  ims_tar_map_init(&draft->map, alloc);
}

void ims_tar_draft_free(ims_tar_draft *draft) {
  ims_buf_free(&draft->pax_text);
  ims_buf_free(&draft->long_name);
  ims_buf_free(&draft->long_link);
  ims_tar_xattrs_free(&draft->xattrs);
  ims_tar_map_free(&draft->map);
}

static void clear_buf(ims_buf *buffer) {
  if (buffer->capacity > KEPT_CAPACITY)
    ims_buf_free(buffer);
  ims_buf_clear(buffer);
}

void ims_tar_draft_clear(ims_tar_draft *draft) {
  clear_buf(&draft->pax_text);
  clear_buf(&draft->long_name);
  clear_buf(&draft->long_link);
  draft->has_header = draft->has_pax = draft->has_name = draft->has_link = draft->map_in_content = false;
  draft->pax.seen = draft->pax.have = 0;
  draft->xattrs.count = 0;
  if (draft->map.capacity > KEPT_CAPACITY / sizeof(ims_tar_segment))
    ims_tar_map_free(&draft->map);
  ims_tar_map_clear(&draft->map);
}

int32_t ims_tar_draft_extension(ims_tar_draft *draft, uint8_t typeflag, ims_buf **buffer, ims_error *err) {
  bool *has = typeflag == 'x' ? &draft->has_pax : typeflag == 'L' ? &draft->has_name : &draft->has_link;
  *buffer = typeflag == 'x' ? &draft->pax_text : typeflag == 'L' ? &draft->long_name : &draft->long_link;
  if (*has)
    return ims_fail(err, IMGSTORE_EFORMAT, "two extension headers of type '%c' for one entry", typeflag);
  *has = true;
  return IMGSTORE_OK;
}

bool ims_tar_draft_has_extension(const ims_tar_draft *draft) {
  return draft->has_pax || draft->has_name || draft->has_link;
}

/* A long name ends at its NUL; bytes after that would be a second name. */
static int32_t check_long(const ims_buf *buffer, ims_error *err) {
  const char *text = ims_buf_text(buffer);
  size_t length = strlen(text);
  if (!length)
    return ims_fail(err, IMGSTORE_EFORMAT, "empty long name");
  for (size_t i = length; i < buffer->size; i++)
    if (text[i])
      return ims_fail(err, IMGSTORE_EFORMAT, "NUL inside a long name");
  return IMGSTORE_OK;
}

int32_t ims_tar_draft_extension_done(ims_tar_draft *draft, uint8_t typeflag, ims_error *err) {
  if (typeflag != 'x')
    return check_long(typeflag == 'L' ? &draft->long_name : &draft->long_link, err);
  if (!draft->pax_text.size)
    return IMGSTORE_OK;
  return ims_pax_parse(&draft->pax, &draft->xattrs, &draft->map, draft->pax_text.data, draft->pax_text.size, err);
}

static bool has(const ims_tar_draft *draft, unsigned bits) {
  return (draft->pax.have & bits) != 0;
}

const char *ims_tar_draft_name(const ims_tar_draft *draft) {
  if (has(draft, IMS_PAX_SPARSE_NAME))
    return draft->pax.sparse_name;
  if (has(draft, IMS_PAX_PATH))
    return draft->pax.path;
  return draft->has_name ? ims_buf_text(&draft->long_name) : draft->header.name;
}

static int32_t set_names(ims_tar_draft *draft, ims_error *err) {
  ims_tar_entry *e = &draft->entry;
  const bool is_link = e->type == IMS_TAR_HARDLINK || e->type == IMS_TAR_SYMLINK;
  e->path = ims_tar_draft_name(draft);
  e->linkpath = "";
  if (!e->path[0])
    return ims_fail(err, IMGSTORE_EFORMAT, "empty name");
  if (draft->has_name && has(draft, IMS_PAX_PATH) && strcmp(ims_buf_text(&draft->long_name), draft->pax.path) != 0)
    return ims_fail(err, IMGSTORE_EFORMAT, "PAX path and GNU long name differ");
  if (!is_link)
    return IMGSTORE_OK;
  const char *long_link = draft->has_link ? ims_buf_text(&draft->long_link) : draft->header.link;
  e->linkpath = has(draft, IMS_PAX_LINKPATH) ? draft->pax.linkpath : long_link;
  if (draft->has_link && has(draft, IMS_PAX_LINKPATH) && strcmp(long_link, draft->pax.linkpath) != 0)
    return ims_fail(err, IMGSTORE_EFORMAT, "PAX linkpath and GNU long link differ");
  if (!e->linkpath[0])
    return ims_fail(err, IMGSTORE_EFORMAT, "empty link target");
  return IMGSTORE_OK;
}

/* Content follows regular files only, whatever size the header of another entry states: that is how the Go, GNU and
   libarchive readers walk an archive. Unknown types are refused, because not all of them have content. */
static int32_t set_type(ims_tar_draft *draft, ims_error *err) {
  const uint8_t typeflag = draft->header.typeflag;
  switch (typeflag) {
  case '\0':
  case '0':
  case '7':
  case 'S':
    draft->entry.type = IMS_TAR_REGULAR;
    return IMGSTORE_OK;
  case '1':
  case '2':
  case '3':
  case '4':
  case '5':
  case '6':
    draft->entry.type = IMS_TAR_HARDLINK + (typeflag - '1');
    return IMGSTORE_OK;
  default:
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "unknown entry type 0x%02x", typeflag);
  }
}

static int32_t set_id(uint64_t *id, const char *what, int64_t stated, ims_error *err) {
  if (stated < 0)
    return ims_fail(err, IMGSTORE_EFORMAT, "negative %s", what);
  *id = (uint64_t)stated;
  return IMGSTORE_OK;
}

/* The local header, else a global one unless the local one took it away, else the entry's own header. */
static const ims_pax *source(const ims_tar_draft *draft, const ims_pax *global, unsigned bit) {
  if (draft->pax.have & bit)
    return &draft->pax;
  return !(draft->pax.seen & bit) && (global->have & bit) ? global : NULL;
}

static int32_t set_owner_and_time(ims_tar_draft *draft, const ims_pax *global, ims_error *err) {
  ims_tar_entry *e = &draft->entry;
  const ims_tar_header *h = &draft->header;
  const ims_pax *uid = source(draft, global, IMS_PAX_UID), *gid = source(draft, global, IMS_PAX_GID);
  const ims_pax *mtime = source(draft, global, IMS_PAX_MTIME);
  e->mode = h->mode;
  e->mtime = mtime ? mtime->mtime : h->mtime;
  e->mtime_ns = mtime ? mtime->mtime_ns : 0;
  int32_t rc = set_id(&e->uid, "uid", uid ? (int64_t)uid->uid : h->uid, err);
  if (rc == IMGSTORE_OK)
    rc = set_id(&e->gid, "gid", gid ? (int64_t)gid->gid : h->gid, err);
  if (rc != IMGSTORE_OK)
    return rc;
  if (h->major < 0 || h->major > UINT32_MAX || h->minor < 0 || h->minor > UINT32_MAX)
    return ims_fail(err, IMGSTORE_EFORMAT, "device number out of range");
  e->major = (uint32_t)h->major;
  e->minor = (uint32_t)h->minor;
  return IMGSTORE_OK;
}

static bool ends_in_slash(const char *path) {
  size_t length = strlen(path);
  return length && path[length - 1] == '/';
}

static int32_t set_size(ims_tar_draft *draft, ims_error *err) {
  const int64_t size = has(draft, IMS_PAX_SIZE) ? (int64_t)draft->pax.size : draft->header.size;
  if (size < 0)
    return ims_fail(err, IMGSTORE_EFORMAT, "negative size");
  /* Before POSIX this was a directory: readers that still say so do not skip the content but take it for headers. */
  if (size && draft->header.typeflag == '\0' && ends_in_slash(draft->entry.path))
    return ims_fail(err, IMGSTORE_EFORMAT, "a name that ends in a slash has content");
  draft->stored = draft->entry.type == IMS_TAR_REGULAR ? (uint64_t)size : 0;
  draft->entry.size = draft->stored;
  return IMGSTORE_OK;
}

static int32_t check_pax_map(const ims_tar_draft *draft, ims_error *err) {
  if (!has(draft, IMS_PAX_SPARSE_BLOCKS) || draft->pax.sparse_blocks != draft->map.stated)
    return ims_fail(err, IMGSTORE_EFORMAT, "sparse map has another length than stated");
  return IMGSTORE_OK;
}

static int32_t set_pax_sparse(ims_tar_draft *draft, ims_error *err) {
  const ims_pax *pax = &draft->pax;
  const bool versioned = has(draft, IMS_PAX_SPARSE_MAJOR) && has(draft, IMS_PAX_SPARSE_MINOR);
  const bool has_map = has(draft, IMS_PAX_SPARSE_MAP | IMS_PAX_SPARSE_PAIRS);
  if (draft->header.typeflag == 'S' || draft->entry.type != IMS_TAR_REGULAR)
    return ims_fail(err, IMGSTORE_EFORMAT, "PAX sparse records for an entry that cannot have them");
  if (versioned != has(draft, IMS_PAX_SPARSE_MAJOR | IMS_PAX_SPARSE_MINOR) || !has(draft, IMS_PAX_SPARSE_SIZE))
    return ims_fail(err, IMGSTORE_EFORMAT, "incomplete PAX sparse records");
  if (versioned && (pax->sparse_major > 1 || pax->sparse_minor > (pax->sparse_major ? 0 : 1)))
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "unknown sparse format");
  draft->entry.size = pax->sparse_size;
  draft->map_in_content = versioned && pax->sparse_major == 1;
  if (!draft->map_in_content)
    return check_pax_map(draft, err);
  return has_map ? ims_fail(err, IMGSTORE_EFORMAT, "two sparse maps for one file") : IMGSTORE_OK;
}

static int32_t set_old_sparse(ims_tar_draft *draft, const uint8_t *block, bool *more, ims_error *err) {
  int64_t size = 0;
  if (draft->header.magic != IMS_TAR_MAGIC_GNU)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "sparse file in a format that is not GNU's");
  int32_t rc = ims_tar_map_add_header(&draft->map, block, &size, more, err);
  draft->entry.size = (uint64_t)size;
  return rc;
}

int32_t ims_tar_draft_header(ims_tar_draft *draft, const uint8_t *block, const ims_pax *global, bool *more,
                             ims_error *err) {
  *more = false;
  draft->has_header = true;
  memset(&draft->entry, 0, sizeof draft->entry);
  int32_t rc = ims_tar_header_decode(&draft->header, block, err);
  if (rc == IMGSTORE_OK)
    rc = set_type(draft, err);
  if (rc == IMGSTORE_OK)
    rc = set_names(draft, err);
  if (rc == IMGSTORE_OK)
    rc = set_size(draft, err);
  if (rc == IMGSTORE_OK)
    rc = set_owner_and_time(draft, global, err);
  if (rc == IMGSTORE_OK && (draft->pax.seen & IMS_PAX_SPARSE))
    rc = set_pax_sparse(draft, err);
  else if (rc == IMGSTORE_OK && draft->header.typeflag == 'S')
    rc = set_old_sparse(draft, block, more, err);
  return rc;
}

static uint64_t depth_of(const char *path) {
  uint64_t depth = 0;
  for (; *path; path = strchrnul(path, '/')) {
    while (*path == '/')
      path++;
    depth += *path != '\0';
  }
  return depth;
}

int32_t ims_tar_draft_finish(ims_tar_draft *draft, uint64_t max_path_depth, ims_error *err) {
  ims_tar_entry *e = &draft->entry;
  if (depth_of(e->path) > max_path_depth || (e->type == IMS_TAR_HARDLINK && depth_of(e->linkpath) > max_path_depth))
    return ims_fail(err, IMGSTORE_ELIMIT, "path has more than %llu components", (unsigned long long)max_path_depth);
  e->xattrs = draft->xattrs.count ? draft->xattrs.items : NULL;
  e->xattr_count = draft->xattrs.count;
  e->data_size = draft->stored;
  if (!(draft->pax.seen & IMS_PAX_SPARSE) && draft->header.typeflag != 'S')
    return IMGSTORE_OK;
  int32_t rc = ims_tar_map_finish(&draft->map, e->size, draft->stored, err);
  e->segments = draft->map.items;
  e->segment_count = draft->map.count;
  return rc;
}
