/*
 * engine/merged_tree.c (L4) - the merged names of layers: a tree of nodes, found by (parent, name) in a hash table.
 *
 * A removed node is unlinked from its parent only; what hung below it is unreachable and stays until the tree is freed.
 */
#include "engine/merged_tree.h"

#include <string.h>

#include "base/buf.h"
#include "rootfs/name_hash.h"
#include "tar/whiteout.h"

enum {
  MAX_NODES = 1 << 22,
  MAX_TEXT = 256 << 20, /* bytes of all names and link targets; a hard link to a link has a copy of its target */
  MAX_LINKS = 40,
  MAX_RESOLVED_PATH = 64 << 10,
  ROOT = IMS_MERGED_ROOT,
  NONE = IMS_MERGED_NONE
};

typedef struct node {
  int32_t parent, first_child, next_sibling, previous_sibling, next_in_bucket;
  int32_t type; /* IMS_TAR_*; never HARDLINK: a hard link is a copy of its target */
  uint32_t hash;
  size_t touched; /* the last layer, plus one, that made this or something below it */
  size_t born;    /* the layer that made it */
  char *name;
  char *target; /* of a symbolic link, or NULL */
  ims_merged_file file;
} node;

struct ims_merged_tree {
  const ims_alloc *alloc;
  node *nodes;
  int32_t count, capacity;
  int32_t *buckets;
  uint32_t bucket_count; /* a power of two */
  size_t text_size;      /* of names and targets */
  ims_hash_key key;      /* names come from the image: it must not be able to aim at collisions */
  size_t layer;
};

static uint32_t hash_name(const ims_merged_tree *t, int32_t parent, const char *name, size_t size) {
  return (uint32_t)ims_name_hash_sized(&t->key, 0, (uint64_t)parent, name, size);
}

static int32_t rehash(ims_merged_tree *t, uint32_t bucket_count) {
  int32_t *buckets = ims_calloc(t->alloc, bucket_count, sizeof *buckets);
  if (!buckets)
    return IMGSTORE_ENOMEM;
  for (uint32_t i = 0; i < bucket_count; i++)
    buckets[i] = NONE;
  for (int32_t i = 0; i < t->count; i++) {
    if (t->nodes[i].parent == NONE)
      continue; /* the root, or removed */
    uint32_t at = t->nodes[i].hash & (bucket_count - 1);
    t->nodes[i].next_in_bucket = buckets[at];
    buckets[at] = i;
  }
  ims_free(t->alloc, t->buckets);
  t->buckets = buckets;
  t->bucket_count = bucket_count;
  return IMGSTORE_OK;
}

static int32_t find_child(const ims_merged_tree *t, int32_t parent, const char *name, size_t size) {
  uint32_t h = hash_name(t, parent, name, size);
  for (int32_t i = t->buckets[h & (t->bucket_count - 1)]; i != NONE; i = t->nodes[i].next_in_bucket) {
    const node *n = &t->nodes[i];
    if (n->hash == h && n->parent == parent && strlen(n->name) == size && memcmp(n->name, name, size) == 0)
      return i;
  }
  return NONE;
}

static int32_t grow(ims_merged_tree *t, ims_error *err) {
  if (t->count < t->capacity)
    return IMGSTORE_OK;
  if (t->count >= MAX_NODES)
    return ims_fail(err, IMGSTORE_ELIMIT, "image has more than %d files", MAX_NODES);
  int32_t capacity = t->capacity ? t->capacity * 2 : 1024;
  node *nodes = ims_realloc_array(t->alloc, t->nodes, (size_t)capacity, sizeof *nodes);
  if (!nodes)
    return ims_fail_nomem(err);
  t->nodes = nodes;
  t->capacity = capacity;
  return rehash(t, (uint32_t)capacity) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

static void link_child(ims_merged_tree *t, int32_t parent, int32_t i) {
  node *n = &t->nodes[i];
  uint32_t at = n->hash & (t->bucket_count - 1);
  n->next_in_bucket = t->buckets[at];
  t->buckets[at] = i;
  n->next_sibling = t->nodes[parent].first_child;
  if (n->next_sibling != NONE)
    t->nodes[n->next_sibling].previous_sibling = i;
  t->nodes[parent].first_child = i;
}

/* Marks a node and the directories above it, however they came about: what this layer made is not hidden by it. */
static void touch(ims_merged_tree *t, int32_t i) {
  for (; i != NONE && t->nodes[i].touched != t->layer + 1; i = t->nodes[i].parent)
    t->nodes[i].touched = t->layer + 1;
}

/* A copy that counts. */
static int32_t keep_text(ims_merged_tree *t, const char *text, size_t size, char **copy, ims_error *err) {
  if (size >= MAX_TEXT - t->text_size)
    return ims_fail(err, IMGSTORE_ELIMIT, "names and links of the image's files of more than %d bytes", MAX_TEXT);
  *copy = ims_strndup(t->alloc, text, size);
  if (!*copy)
    return ims_fail_nomem(err);
  t->text_size += size + 1;
  return IMGSTORE_OK;
}

static int32_t add_child(ims_merged_tree *t, int32_t parent, const char *name, size_t size, int32_t *child,
                         ims_error *err) {
  int32_t rc = grow(t, err);
  if (rc)
    return rc;
  node *n = &t->nodes[t->count];
  memset(n, 0, sizeof *n);
  rc = keep_text(t, name, size, &n->name, err);
  if (rc)
    return rc;
  n->parent = parent;
  n->type = IMS_TAR_DIRECTORY;
  n->first_child = n->next_sibling = n->previous_sibling = NONE;
  n->hash = hash_name(t, parent, name, size);
  n->touched = t->layer + 1;
  n->born = t->layer;
  n->file = (ims_merged_file){t->layer, IMS_MERGED_NO_ENTRY, 0};
  touch(t, parent);
  if (parent != NONE)
    link_child(t, parent, t->count);
  *child = t->count++;
  return IMGSTORE_OK;
}

static void remove_node(ims_merged_tree *t, int32_t i) {
  node *n = &t->nodes[i];
  int32_t *link = &t->buckets[n->hash & (t->bucket_count - 1)];
  while (*link != i)
    link = &t->nodes[*link].next_in_bucket;
  *link = n->next_in_bucket;
  if (n->previous_sibling == NONE)
    t->nodes[n->parent].first_child = n->next_sibling;
  else
    t->nodes[n->previous_sibling].next_sibling = n->next_sibling;
  if (n->next_sibling != NONE)
    t->nodes[n->next_sibling].previous_sibling = n->previous_sibling;
  n->parent = NONE;
}

/* Removes what lower layers left below a directory; what this layer made stays, at any depth. */
static void hide_lower(ims_merged_tree *t, int32_t top) {
  int32_t dir = top, next = t->nodes[top].first_child;
  for (;;) {
    while (next != NONE) {
      int32_t i = next;
      next = t->nodes[i].next_sibling;
      if (t->nodes[i].touched != t->layer + 1) {
        remove_node(t, i);
      } else if (t->nodes[i].first_child != NONE) {
        dir = i; /* down; its siblings follow on the way up */
        next = t->nodes[i].first_child;
      }
    }
    if (dir == top)
      return;
    next = t->nodes[dir].next_sibling;
    dir = t->nodes[dir].parent;
  }
}

int32_t ims_merged_tree_new(ims_merged_tree **tree, const ims_alloc *alloc, ims_error *err) {
  *tree = NULL;
  ims_merged_tree *t = ims_calloc(alloc, 1, sizeof *t);
  if (!t)
    return ims_fail_nomem(err);
  t->alloc = alloc;
  int32_t root, rc = ims_hash_key_draw(&t->key, err);
  if (!rc)
    rc = add_child(t, NONE, "", 0, &root, err);
  if (rc) {
    ims_merged_tree_free(t);
    return rc;
  }
  *tree = t;
  return IMGSTORE_OK;
}

void ims_merged_tree_free(ims_merged_tree *t) {
  if (!t)
    return;
  for (int32_t i = 0; i < t->count; i++) {
    ims_free(t->alloc, t->nodes[i].name);
    ims_free(t->alloc, t->nodes[i].target);
  }
  ims_free(t->alloc, t->nodes);
  ims_free(t->alloc, t->buckets);
  ims_free(t->alloc, t);
}

void ims_merged_tree_begin_layer(ims_merged_tree *t, size_t layer) {
  t->layer = layer;
}

/* --- walking
 * ------------------------------------------------------------------------------------------------------------- */

/* Follows a path by the rules of rootfs/resolve.h, so that both come to the same tree. */
typedef struct walk {
  ims_merged_tree *tree;
  ims_buf path, link; /* link: the target of the link that is being followed, and what is left of those before it */
  size_t path_at, link_at;
  bool in_link;
  bool make;    /* missing directories are made, what stands in the way is replaced */
  int32_t at;   /* where it has come to */
  int32_t home; /* the link in the path itself that is being followed lies here */
  const char *home_name;
  size_t home_size;
  int links;
} walk;

static int32_t walk_init(walk *w, ims_merged_tree *t, const char *path, size_t size, bool make, ims_error *err) {
  memset(w, 0, sizeof *w);
  w->tree = t;
  w->make = make;
  w->at = ROOT;
  ims_buf_init(&w->path, t->alloc, SIZE_MAX - 1);
  ims_buf_init(&w->link, t->alloc, MAX_RESOLVED_PATH);
  return ims_buf_append(&w->path, path, size) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

static void walk_free(walk *w) {
  ims_buf_free(&w->path);
  ims_buf_free(&w->link);
}

/* False at the end. */
static bool next_name(walk *w, const char **name, size_t *size) {
  const char *text = ims_buf_text(&w->link) + w->link_at;
  if (w->in_link)
    w->in_link = text[strspn(text, "/")] != '\0';
  size_t *at = w->in_link ? &w->link_at : &w->path_at;
  text = ims_buf_text(w->in_link ? &w->link : &w->path) + *at;
  size_t skip = strspn(text, "/");
  *name = text + skip;
  *size = strcspn(*name, "/");
  *at += skip + *size;
  return *size > 0;
}

/* There is no directory of this name: obstacle stands there, or nothing. A link that led here is itself in the way. */
static int32_t dead_end(walk *w, int32_t obstacle, const char *name, size_t size, ims_error *err) {
  if (!w->make)
    return IMGSTORE_ENOTFOUND;
  if (w->in_link) {
    w->at = w->home;
    name = w->home_name;
    size = w->home_size;
    obstacle = find_child(w->tree, w->at, name, size);
  }
  w->in_link = false;
  if (obstacle != NONE)
    remove_node(w->tree, obstacle);
  return add_child(w->tree, w->at, name, size, &w->at, err);
}

/* Puts the target of a link in front of what is left of the link before it. */
static int32_t follow(walk *w, int32_t link, const char *name, size_t size, ims_error *err) {
  const char *target = w->tree->nodes[link].target;
  if (!w->in_link) {
    w->home = w->at;
    w->home_name = name;
    w->home_size = size;
    w->in_link = true;
    w->link_at = 0;
    ims_buf_clear(&w->link);
  }
  if (!*target || w->links++ >= MAX_LINKS)
    return w->make ? dead_end(w, link, name, size, err) : IMGSTORE_ELIMIT;
  ims_buf next;
  ims_buf_init(&next, w->tree->alloc, MAX_RESOLVED_PATH);
  ims_buf_puts(&next, target);
  ims_buf_putc(&next, '/');
  ims_buf_puts(&next, ims_buf_text(&w->link) + w->link_at);
  int32_t failed = next.failed;
  ims_buf_free(&w->link);
  w->link = next;
  w->link_at = 0;
  if (target[0] == '/')
    w->at = ROOT;
  return failed == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : failed;
}

static int32_t step(walk *w, const char *name, size_t size, ims_error *err) {
  ims_merged_tree *t = w->tree;
  if (t->nodes[w->at].type != IMS_TAR_DIRECTORY)
    return IMGSTORE_ENOTFOUND;
  if (size <= 2 && memcmp(name, "..", size) == 0) {
    if (size == 2 && w->at != ROOT)
      w->at = t->nodes[w->at].parent;
    return IMGSTORE_OK;
  }
  int32_t child = find_child(t, w->at, name, size);
  if (child != NONE && t->nodes[child].type == IMS_TAR_SYMLINK)
    return follow(w, child, name, size, err);
  if (child == NONE || (w->make && t->nodes[child].type != IMS_TAR_DIRECTORY))
    return dead_end(w, child, name, size, err);
  w->at = child;
  return IMGSTORE_OK;
}

/* *at: the node that path leads to. IMGSTORE_ENOTFOUND and, when links lead round in circles, IMGSTORE_ELIMIT come
   without a message. */
static int32_t resolve(ims_merged_tree *t, const char *path, size_t path_size, bool make, int32_t *at, ims_error *err) {
  walk w;
  const char *name;
  size_t size;
  int32_t rc = walk_init(&w, t, path, path_size, make, err);
  while (!rc && next_name(&w, &name, &size))
    rc = step(&w, name, size, err);
  *at = w.at;
  walk_free(&w);
  return rc;
}

static int32_t resolve_dir(ims_merged_tree *t, const char *path, size_t size, bool make, int32_t *dir, ims_error *err) {
  int32_t rc = resolve(t, path, size, make, dir, err);
  if (!rc && t->nodes[*dir].type != IMS_TAR_DIRECTORY)
    return IMGSTORE_ENOTFOUND;
  if (rc == IMGSTORE_ELIMIT)
    return make ? ims_fail(err, rc, "symbolic links make a path that is too long") : IMGSTORE_ENOTFOUND;
  return rc;
}

/* The name in a cleaned path, and the size of what comes before it. */
static const char *split(const char *path, size_t *parent_size) {
  const char *slash = strrchr(path, '/');
  *parent_size = slash ? (size_t)(slash - path) : 0;
  return slash ? slash + 1 : path;
}

/* --- adding
 * --------------------------------------------------------------------------------------------------------------- */

static int32_t hide(ims_merged_tree *t, const char *path, ims_error *err) {
  size_t parent_size;
  const char *name = split(path, &parent_size);
  int32_t dir;
  int32_t rc = resolve_dir(t, path, parent_size, false, &dir, err);
  int32_t child = rc ? NONE : find_child(t, dir, name, strlen(name));
  if (child == NONE)
    return rc == IMGSTORE_ENOTFOUND ? IMGSTORE_OK : rc; /* hides what is not there */
  if (t->nodes[child].touched == t->layer + 1)
    hide_lower(t, child);
  else
    remove_node(t, child);
  return IMGSTORE_OK;
}

static int32_t hide_content(ims_merged_tree *t, const char *path, ims_error *err) {
  int32_t dir;
  int32_t rc = resolve_dir(t, path, strlen(path), false, &dir, err);
  if (!rc)
    hide_lower(t, dir);
  return rc == IMGSTORE_ENOTFOUND ? IMGSTORE_OK : rc;
}

/* Finds the node that a hard link names, without following a link in its last component. */
static int32_t find_link_target(ims_merged_tree *t, const char *path, int32_t *target, ims_error *err) {
  size_t parent_size;
  const char *name = split(path, &parent_size);
  int32_t dir;
  int32_t rc = resolve_dir(t, path, parent_size, false, &dir, err);
  if (rc && rc != IMGSTORE_ENOTFOUND)
    return rc;
  *target = rc || !*name ? NONE : find_child(t, dir, name, strlen(name));
  if (*target == NONE)
    return ims_fail(err, IMGSTORE_EFORMAT, "hard link to \"%.200s\", which is not there", path);
  if (t->nodes[*target].type == IMS_TAR_DIRECTORY)
    return ims_fail(err, IMGSTORE_EFORMAT, "hard link to \"%.200s\", which is a directory", path);
  return IMGSTORE_OK;
}

static int32_t link_target(ims_merged_tree *t, const ims_tar_entry *entry, int32_t *target, ims_error *err) {
  int kind;
  char *path = ims_malloc(t->alloc, strlen(entry->linkpath) + 1);
  if (!path)
    return ims_fail_nomem(err);
  int32_t rc = ims_layer_path(entry->linkpath, path, &kind, err);
  if (!rc && kind != IMS_WHITEOUT_NONE)
    rc = ims_fail(err, IMGSTORE_EFORMAT, "hard link to \"%.200s\", which is a whiteout", entry->linkpath);
  if (!rc)
    rc = find_link_target(t, path, target, err);
  ims_free(t->alloc, path);
  return rc;
}

static bool is_below(const ims_merged_tree *t, int32_t i, int32_t top) {
  while (i != NONE && i != top)
    i = t->nodes[i].parent;
  return i == top;
}

/* Fills what with the type, target and content of an entry, which takes the place of old; the target is borrowed. */
static int32_t describe(ims_merged_tree *t, int32_t old, const ims_tar_entry *entry, uint64_t number, node *what,
                        ims_error *err) {
  what->type = entry->type;
  what->target = entry->type == IMS_TAR_SYMLINK ? (char *)entry->linkpath : NULL;
  what->file = (ims_merged_file){t->layer, number, entry->size};
  if (entry->type != IMS_TAR_HARDLINK)
    return IMGSTORE_OK;
  int32_t other = NONE;
  int32_t rc = link_target(t, entry, &other, err);
  if (!rc && old != NONE && other != old && is_below(t, other, old))
    rc = ims_fail(err, IMGSTORE_EFORMAT, "hard link to \"%.200s\", which it replaces", entry->linkpath);
  if (rc)
    return rc;
  what->type = t->nodes[other].type;
  what->target = t->nodes[other].target;
  what->file = t->nodes[other].file;
  return IMGSTORE_OK;
}

static int32_t replace(ims_merged_tree *t, int32_t dir, const char *name, int32_t old, const ims_tar_entry *entry,
                       uint64_t number, ims_error *err) {
  node what;
  int32_t made;
  int32_t rc = describe(t, old, entry, number, &what, err);
  char *target = NULL;
  if (!rc && what.target)
    rc = keep_text(t, what.target, strlen(what.target), &target, err);
  if (!rc && old != NONE)
    remove_node(t, old);
  if (!rc)
    rc = add_child(t, dir, name, strlen(name), &made, err);
  if (rc) {
    ims_free(t->alloc, target);
    return rc;
  }
  t->nodes[made].type = what.type;
  t->nodes[made].target = target;
  t->nodes[made].file = what.file;
  return IMGSTORE_OK;
}

static int32_t place(ims_merged_tree *t, const char *path, const ims_tar_entry *entry, uint64_t number,
                     ims_error *err) {
  size_t parent_size;
  const char *name = split(path, &parent_size);
  int32_t dir;
  if (!*path && entry->type == IMS_TAR_DIRECTORY)
    t->nodes[ROOT].file = (ims_merged_file){t->layer, number, 0};
  if (!*path || (entry->type == IMS_TAR_CHAR && !entry->major && !entry->minor))
    return IMGSTORE_OK; /* the root is always there; overlay metadata is never made */
  int32_t rc = resolve_dir(t, path, parent_size, true, &dir, err);
  if (rc)
    return rc;
  int32_t child = find_child(t, dir, name, strlen(name));
  if (child == NONE || entry->type != IMS_TAR_DIRECTORY || t->nodes[child].type != IMS_TAR_DIRECTORY)
    return replace(t, dir, name, child, entry, number, err);
  touch(t, child);
  t->nodes[child].file = (ims_merged_file){t->layer, number, 0};
  return IMGSTORE_OK;
}

int32_t ims_merged_tree_add(ims_merged_tree *t, const char *path, int whiteout, const ims_tar_entry *entry,
                            uint64_t number, ims_error *err) {
  switch (whiteout) {
  case IMS_WHITEOUT_FILE:
    return hide(t, path, err);
  case IMS_WHITEOUT_OPAQUE:
    return hide_content(t, path, err);
  default:
    return place(t, path, entry, number, err);
  }
}

int32_t ims_merged_tree_find(ims_merged_tree *t, const char *path, ims_merged_file *file, ims_error *err) {
  int32_t at;
  int32_t rc = resolve(t, path, strlen(path), false, &at, err);
  if (rc == IMGSTORE_ENOTFOUND)
    return ims_fail(err, rc, "\"%s\": no such file in the image", path);
  if (rc == IMGSTORE_ELIMIT)
    return ims_fail(err, rc, "\"%s\": too many symbolic links", path);
  if (rc)
    return ims_error_prefix(err, "\"%s\"", path);
  if (t->nodes[at].type != IMS_TAR_REGULAR)
    return ims_fail(err, IMGSTORE_EINVALID, "\"%s\": is not a regular file", path);
  *file = t->nodes[at].file;
  return IMGSTORE_OK;
}

/* --- looking at all of it
 * ----------------------------------------------------------------------------------------------------- */

void ims_merged_tree_get(const ims_merged_tree *t, int32_t i, ims_merged_node *out) {
  const node *n = &t->nodes[i];
  *out = (ims_merged_node){n->name, n->type, n->file, n->born};
}

int32_t ims_merged_tree_parent(const ims_merged_tree *t, int32_t i) {
  return t->nodes[i].parent;
}

int32_t ims_merged_tree_first(const ims_merged_tree *t, int32_t dir) {
  return t->nodes[dir].first_child;
}

int32_t ims_merged_tree_next(const ims_merged_tree *t, int32_t i) {
  return t->nodes[i].next_sibling;
}

int32_t ims_merged_tree_child(const ims_merged_tree *t, int32_t dir, const char *name) {
  return find_child(t, dir, name, strlen(name));
}

size_t ims_merged_tree_size(const ims_merged_tree *t) {
  return (size_t)t->count;
}
