/*
 * engine/merged_tree.c (L4) - the merged names of layers: a tree of nodes, found by (parent, name) in a hash table.
 *
 * A removed node is unlinked from its parent only; what hung below it is unreachable and stays until the tree is freed.
 */
#include "engine/merged_tree.h"

#include <string.h>

#include "base/buf.h"
#include "tar/whiteout.h"

enum { MAX_NODES = 1 << 22, MAX_LINKS = 40, MAX_RESOLVED_PATH = 64 << 10, ROOT = 0, NONE = -1 };

typedef struct node {
  int32_t parent, first_child, next_sibling, previous_sibling, next_in_bucket;
  int32_t type; /* IMS_TAR_*; never HARDLINK: a hard link is a copy of its target */
  uint32_t hash;
  size_t touched; /* the last layer, plus one, that made this or something below it */
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
  size_t layer;
};

static uint32_t hash_name(int32_t parent, const char *name, size_t size) {
  uint32_t h = 2166136261u ^ (uint32_t)parent * 2654435761u;
  for (size_t i = 0; i < size; i++)
    h = (h ^ (unsigned char)name[i]) * 16777619u;
  return h ^ h >> 15;
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
  uint32_t h = hash_name(parent, name, size);
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

static int32_t add_child(ims_merged_tree *t, int32_t parent, const char *name, size_t size, int32_t *child,
                         ims_error *err) {
  int32_t rc = grow(t, err);
  if (rc)
    return rc;
  node *n = &t->nodes[t->count];
  memset(n, 0, sizeof *n);
  n->name = ims_strndup(t->alloc, name, size);
  if (!n->name)
    return ims_fail_nomem(err);
  n->parent = parent;
  n->type = IMS_TAR_DIRECTORY;
  n->first_child = n->next_sibling = n->previous_sibling = NONE;
  n->hash = hash_name(parent, name, size);
  n->touched = t->layer + 1;
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
  int32_t root, rc = add_child(t, NONE, "", 0, &root, err);
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

typedef struct walk {
  ims_merged_tree *tree;
  ims_buf path; /* what is left to walk */
  size_t at;
  int links;
  bool create; /* make missing directories, replace what is none */
} walk;

/* Puts the target of a link in front of what is left. */
static int32_t follow(walk *w, const char *target, ims_error *err) {
  ims_buf path;
  if (++w->links > MAX_LINKS)
    return ims_fail(err, IMGSTORE_ELIMIT, "too many symbolic links");
  ims_buf_init(&path, w->tree->alloc, MAX_RESOLVED_PATH);
  ims_buf_puts(&path, target);
  ims_buf_putc(&path, '/');
  ims_buf_puts(&path, ims_buf_text(&w->path) + w->at);
  int32_t rc = path.failed;
  ims_buf_free(&w->path);
  w->path = path;
  w->at = 0;
  if (rc)
    return ims_fail(err, rc, "symbolic links make a path that is too long");
  return IMGSTORE_OK;
}

/* The next component that is not "" or "."; size 0 at the end. */
static const char *next_component(walk *w, size_t *size) {
  for (;;) {
    const char *name = ims_buf_text(&w->path) + w->at;
    *size = strcspn(name, "/");
    w->at += *size + (name[*size] == '/');
    if (!*size && !name[0])
      return name;
    if (*size && !(*size == 1 && name[0] == '.'))
      return name;
  }
}

static bool is_last(const walk *w) {
  const char *rest = ims_buf_text(&w->path) + w->at;
  return rest[strspn(rest, "/.")] == '\0' && !strstr(rest, "..");
}

static int32_t step(walk *w, int32_t *dir, const char *name, size_t size, ims_error *err) {
  ims_merged_tree *t = w->tree;
  int32_t child = find_child(t, *dir, name, size);
  if (child == NONE && !w->create)
    return IMGSTORE_ENOTFOUND;
  if (child == NONE)
    return add_child(t, *dir, name, size, dir, err);
  if (t->nodes[child].type == IMS_TAR_SYMLINK) {
    if (t->nodes[child].target[0] == '/')
      *dir = ROOT;
    return follow(w, t->nodes[child].target, err);
  }
  if (w->create && t->nodes[child].type != IMS_TAR_DIRECTORY) {
    remove_node(t, child);
    return add_child(t, *dir, name, size, dir, err);
  }
  *dir = child;
  return IMGSTORE_OK;
}

/* Walks a path; links in its last component are followed only when follow_last is set. *name is the last component when
   it was not walked. */
static int32_t walk_path(walk *w, const char *path, bool follow_last, int32_t *dir, const char **name, size_t *size,
                         ims_error *err) {
  *dir = ROOT;
  ims_buf_init(&w->path, w->tree->alloc, MAX_RESOLVED_PATH);
  int32_t rc = ims_buf_puts(&w->path, path);
  if (rc)
    return ims_fail(err, rc, "path is too long");
  for (;;) {
    *name = next_component(w, size);
    if (!*size)
      return IMGSTORE_OK;
    if (*size == 2 && memcmp(*name, "..", 2) == 0) {
      *dir = *dir == ROOT ? ROOT : w->tree->nodes[*dir].parent;
      continue;
    }
    if (!follow_last && is_last(w))
      return IMGSTORE_OK;
    rc = step(w, dir, *name, *size, err);
    if (rc)
      return rc;
  }
}

/* --- adding
 * --------------------------------------------------------------------------------------------------------------- */

static void touch(ims_merged_tree *t, int32_t i) {
  for (; i != NONE && t->nodes[i].touched != t->layer + 1; i = t->nodes[i].parent)
    t->nodes[i].touched = t->layer + 1;
}

static int32_t hide(ims_merged_tree *t, int32_t dir, const char *name, size_t size, int whiteout) {
  int32_t child = size ? find_child(t, dir, name, size) : dir;
  if (child == NONE)
    return IMGSTORE_OK;
  if (whiteout == IMS_WHITEOUT_OPAQUE || t->nodes[child].touched == t->layer + 1)
    hide_lower(t, child);
  else if (child != ROOT)
    remove_node(t, child);
  return IMGSTORE_OK;
}

/* Finds the node that a hard link names, without following a link in its last component. */
static int32_t link_target(ims_merged_tree *t, const char *path, int32_t *target, ims_error *err) {
  walk w = {.tree = t};
  const char *name;
  size_t size;
  int32_t dir;
  int32_t rc = walk_path(&w, path, false, &dir, &name, &size, err);
  *target = rc || !size ? NONE : find_child(t, dir, name, size);
  ims_buf_free(&w.path);
  if (*target == NONE)
    return ims_fail(err, IMGSTORE_EFORMAT, "hard link to \"%s\", which is not there", path);
  return IMGSTORE_OK;
}

/* Fills what with the type, target and content of an entry; the target is borrowed. */
static int32_t describe(ims_merged_tree *t, const ims_tar_entry *entry, uint64_t number, node *what, ims_error *err) {
  what->type = entry->type;
  what->target = entry->type == IMS_TAR_SYMLINK ? (char *)entry->linkpath : NULL;
  what->file = (ims_merged_file){t->layer, number, entry->size};
  if (entry->type != IMS_TAR_HARDLINK)
    return IMGSTORE_OK;
  int32_t other;
  int32_t rc = link_target(t, entry->linkpath, &other, err);
  if (rc)
    return rc;
  what->type = t->nodes[other].type;
  what->target = t->nodes[other].target;
  what->file = t->nodes[other].file;
  return IMGSTORE_OK;
}

static int32_t replace(ims_merged_tree *t, int32_t dir, const char *name, size_t size, int32_t old,
                       const ims_tar_entry *entry, uint64_t number, ims_error *err) {
  node what;
  int32_t made;
  int32_t rc = describe(t, entry, number, &what, err);
  char *target = !rc && what.target ? ims_strdup(t->alloc, what.target) : NULL;
  if (!rc && what.target && !target)
    rc = ims_fail_nomem(err);
  if (!rc && old != NONE)
    remove_node(t, old);
  if (!rc)
    rc = add_child(t, dir, name, size, &made, err);
  if (rc) {
    ims_free(t->alloc, target);
    return rc;
  }
  t->nodes[made].type = what.type;
  t->nodes[made].target = target;
  t->nodes[made].file = what.file;
  return IMGSTORE_OK;
}

static int32_t place(ims_merged_tree *t, int32_t dir, const char *name, size_t size, const ims_tar_entry *entry,
                     uint64_t number, ims_error *err) {
  int32_t child = find_child(t, dir, name, size);
  bool keeps = child != NONE && entry->type == IMS_TAR_DIRECTORY && t->nodes[child].type == IMS_TAR_DIRECTORY;
  touch(t, keeps ? child : dir);
  return keeps ? IMGSTORE_OK : replace(t, dir, name, size, child, entry, number, err);
}

int32_t ims_merged_tree_add(ims_merged_tree *t, const char *path, int whiteout, const ims_tar_entry *entry,
                            uint64_t number, ims_error *err) {
  walk w = {.tree = t, .create = whiteout == IMS_WHITEOUT_NONE};
  const char *name;
  size_t size;
  int32_t dir;
  int32_t rc = walk_path(&w, path, false, &dir, &name, &size, err);
  if (rc == IMGSTORE_ENOTFOUND && whiteout != IMS_WHITEOUT_NONE)
    rc = IMGSTORE_OK; /* hides what is not there */
  else if (!rc && whiteout != IMS_WHITEOUT_NONE)
    rc = hide(t, dir, name, size, whiteout);
  else if (!rc && size)
    rc = place(t, dir, name, size, entry, number, err);
  ims_buf_free(&w.path);
  return rc;
}

int32_t ims_merged_tree_find(ims_merged_tree *t, const char *path, ims_merged_file *file, ims_error *err) {
  walk w = {.tree = t};
  const char *name;
  size_t size;
  int32_t at;
  int32_t rc = walk_path(&w, path, true, &at, &name, &size, err);
  ims_buf_free(&w.path);
  if (rc == IMGSTORE_ENOTFOUND)
    return ims_fail(err, rc, "\"%s\": no such file in the image", path);
  if (rc)
    return ims_error_prefix(err, "\"%s\"", path);
  if (t->nodes[at].type != IMS_TAR_REGULAR)
    return ims_fail(err, IMGSTORE_EINVALID, "\"%s\": is not a regular file", path);
  *file = t->nodes[at].file;
  return IMGSTORE_OK;
}
