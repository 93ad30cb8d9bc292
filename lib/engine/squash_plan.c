/*
 * engine/squash_plan.c (L4) - compares two merged trees and lists what the layer between them has to say.
 *
 * A whiteout is made only for what is there below. Both trees are walked side by side: lower[i] is the node below that
 * lies under node i of the full tree.
 */
#include "engine/squash_plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "oci/arena.h"
#include "tar/reader.h"

enum { MAX_PATHS = 256 << 20 /* bytes of all paths in a plan: one is as long as an image makes it */ };

typedef struct planner {
  ims_squash_plan *plan;
  const ims_merged_tree *full, *below; /* below may be NULL */
  size_t from;
  int32_t *lower; /* by node of full; IMS_MERGED_NONE: nothing that shows through */
  size_t paths_size;
  bool too_much; /* of paths */
  ims_error *err;
} planner;

/* --- paths -------------------------------------------------------------------------------------------------------- */

static size_t path_size(const ims_merged_tree *tree, int32_t node) {
  ims_merged_node n;
  size_t size = 0;
  for (; node != IMS_MERGED_ROOT; node = ims_merged_tree_parent(tree, node)) {
    ims_merged_tree_get(tree, node, &n);
    size += strlen(n.name) + 1;
  }
  return size ? size - 1 : 0;
}

/* "PATH-OF-NODE/PREFIX NAME"; name NULL: the path of the node alone. NULL: no_path tells why. */
static char *make_path(planner *p, int32_t node, const char *prefix, const char *name) {
  ims_merged_node n;
  size_t size = path_size(p->full, node), more = name ? strlen(prefix) + strlen(name) + 1 : 0;
  p->too_much = size + more >= MAX_PATHS - p->paths_size;
  char *path = p->too_much ? NULL : ims_arena_take(&p->plan->arena, p->plan->alloc, size + more + 1, 1);
  if (!path)
    return NULL;
  p->paths_size += size + more + 1;
  if (name) {
    char *end = path + size;
    if (size)
      *end++ = '/';
    memcpy(end, prefix, strlen(prefix));
    memcpy(end + strlen(prefix), name, strlen(name) + 1);
  }
  for (char *end = path + size; node != IMS_MERGED_ROOT; node = ims_merged_tree_parent(p->full, node)) {
    ims_merged_tree_get(p->full, node, &n);
    size_t length = strlen(n.name);
    end -= length;
    memcpy(end, n.name, length);
    if (end > path)
      *--end = '/';
  }
  return path;
}

static int32_t no_path(const planner *p) {
  return p->too_much ? ims_fail(p->err, IMGSTORE_ELIMIT, "paths of the image's files of more than %d bytes", MAX_PATHS)
                     : ims_fail_nomem(p->err);
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

static void *grow(const ims_alloc *alloc, void *items, size_t count, size_t *capacity, size_t size) {
  if (count < *capacity)
    return items;
  size_t wider = *capacity ? *capacity * 2 : 64;
  void *grown = ims_realloc_array(alloc, items, wider, size);
  if (grown)
    *capacity = wider;
  return grown;
}

static int32_t add_head(planner *p, char *path, int kind, const ims_merged_file *file) {
  ims_squash_plan *plan = p->plan;
  ims_squash_head *heads =
      path ? grow(plan->alloc, plan->heads, plan->head_count, &plan->head_capacity, sizeof *heads) : NULL;
  if (!heads)
    return no_path(p);
  plan->heads = heads;
  heads[plan->head_count++] = (ims_squash_head){path, kind, *file};
  return IMGSTORE_OK;
}

static int32_t add_file(planner *p, int32_t node, const ims_merged_file *file) {
  ims_squash_plan *plan = p->plan;
  char *path = make_path(p, node, NULL, NULL);
  ims_squash_file *files =
      path ? grow(plan->alloc, plan->files, plan->file_count, &plan->file_capacity, sizeof *files) : NULL;
  if (!files)
    return no_path(p);
  plan->files = files;
  files[plan->file_count++] = (ims_squash_file){path, *file, NULL};
  return IMGSTORE_OK;
}

/* --- the comparison ----------------------------------------------------------------------------------------------- */

/* How many children a directory below has, and how many of them the full tree still has. */
static void count_children(const planner *p, int32_t dir, int32_t under, size_t *all, size_t *kept) {
  *all = *kept = 0;
  for (int32_t c = ims_merged_tree_first(p->below, under); c != IMS_MERGED_NONE;
       c = ims_merged_tree_next(p->below, c)) {
    ims_merged_node n;
    ims_merged_tree_get(p->below, c, &n);
    (*all)++;
    *kept += ims_merged_tree_child(p->full, dir, n.name) != IMS_MERGED_NONE;
  }
}

/* What a directory of both trees no longer has. One that was made anew, or lost all of several, is opaque. */
static int32_t hide_lost(planner *p, int32_t dir, int32_t under, bool anew) {
  static const ims_merged_file none = {0, IMS_MERGED_NO_ENTRY, 0};
  size_t all, kept;
  int32_t rc = IMGSTORE_OK;
  count_children(p, dir, under, &all, &kept);
  if (all && (anew || (!kept && all > 1))) {
    p->lower[dir] = IMS_MERGED_NONE;
    return add_head(p, make_path(p, dir, ".wh..wh..opq", ""), IMS_SQUASH_OPAQUE, &none);
  }
  for (int32_t c = ims_merged_tree_first(p->below, under); !rc && c != IMS_MERGED_NONE;
       c = ims_merged_tree_next(p->below, c)) {
    ims_merged_node n;
    ims_merged_tree_get(p->below, c, &n);
    if (ims_merged_tree_child(p->full, dir, n.name) == IMS_MERGED_NONE)
      rc = add_head(p, make_path(p, dir, ".wh.", n.name), IMS_SQUASH_WHITEOUT, &none);
  }
  return rc;
}

static int32_t visit_directory(planner *p, int32_t node, const ims_merged_node *n) {
  bool described = n->file.layer >= p->from && n->file.entry != IMS_MERGED_NO_ENTRY;
  bool anew = n->born >= p->from;
  int32_t rc = IMGSTORE_OK;
  if (described || (anew && node != IMS_MERGED_ROOT))
    rc = add_head(p, make_path(p, node, NULL, NULL), IMS_SQUASH_DIRECTORY, &n->file);
  if (!rc && p->lower[node] != IMS_MERGED_NONE)
    rc = hide_lost(p, node, p->lower[node], anew && node != IMS_MERGED_ROOT);
  return rc;
}

/* Finds what lies under a node; only a directory under a directory shows through. */
static void find_lower(planner *p, int32_t node, const ims_merged_node *n) {
  ims_merged_node under;
  if (node == IMS_MERGED_ROOT) {
    p->lower[node] = p->below ? IMS_MERGED_ROOT : IMS_MERGED_NONE;
    return;
  }
  int32_t parent = p->lower[ims_merged_tree_parent(p->full, node)];
  int32_t child = parent == IMS_MERGED_NONE ? IMS_MERGED_NONE : ims_merged_tree_child(p->below, parent, n->name);
  if (child != IMS_MERGED_NONE) {
    ims_merged_tree_get(p->below, child, &under);
    if (n->type != IMS_TAR_DIRECTORY || under.type != IMS_TAR_DIRECTORY)
      child = IMS_MERGED_NONE;
  }
  p->lower[node] = child;
}

static int32_t visit(planner *p, int32_t node) {
  ims_merged_node n;
  ims_merged_tree_get(p->full, node, &n);
  find_lower(p, node, &n);
  if (n.type == IMS_TAR_DIRECTORY)
    return visit_directory(p, node, &n);
  return n.born >= p->from ? add_file(p, node, &n.file) : IMGSTORE_OK;
}

/* The node after node, parents before their children; IMS_MERGED_NONE at the end. */
static int32_t following(const ims_merged_tree *tree, int32_t node) {
  int32_t next = ims_merged_tree_first(tree, node);
  while (next == IMS_MERGED_NONE && node != IMS_MERGED_ROOT) {
    next = ims_merged_tree_next(tree, node);
    node = ims_merged_tree_parent(tree, node);
  }
  return next;
}

/* --- files of the layers below ------------------------------------------------------------------------------------ */

static int compare_identity(const ims_merged_file *a, const ims_merged_file *b) {
  if (a->layer != b->layer)
    return a->layer < b->layer ? -1 : 1;
  return a->entry == b->entry ? 0 : a->entry < b->entry ? -1 : 1;
}

static int compare_files(const void *a, const void *b) {
  const ims_squash_file *x = a, *y = b;
  int order = compare_identity(&x->file, &y->file);
  return order ? order : strcmp(x->path, y->path);
}

static int compare_heads(const void *a, const void *b) {
  return strcmp(((const ims_squash_head *)a)->path, ((const ims_squash_head *)b)->path);
}

/* The first name of a file in the plan, which is sorted; NULL when it has none. */
static ims_squash_file *find_names(ims_squash_plan *plan, const ims_merged_file *file) {
  size_t low = 0, high = plan->file_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (compare_identity(&plan->files[middle].file, file) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low < plan->file_count && compare_identity(&plan->files[low].file, file) == 0 ? &plan->files[low] : NULL;
}

/* A name that a file of the layers below keeps is what its new names are linked to: the first one by path. */
static int32_t anchor(planner *p, int32_t node, const ims_merged_node *n) {
  ims_squash_plan *plan = p->plan;
  ims_squash_file *f = find_names(plan, &n->file);
  if (!f)
    return IMGSTORE_OK;
  char *path = make_path(p, node, NULL, NULL);
  if (!path)
    return no_path(p);
  for (; f < plan->files + plan->file_count && compare_identity(&f->file, &n->file) == 0; f++)
    if (!f->target || strcmp(path, f->target) < 0)
      f->target = path;
  return IMGSTORE_OK;
}

static int32_t anchor_all(planner *p) {
  int32_t rc = IMGSTORE_OK;
  if (!p->plan->file_count || p->plan->files[0].file.layer >= p->from)
    return rc; /* they are sorted: none is of the layers below */
  for (int32_t node = IMS_MERGED_ROOT; !rc && node != IMS_MERGED_NONE; node = following(p->full, node)) {
    ims_merged_node n;
    ims_merged_tree_get(p->full, node, &n);
    if (n.type != IMS_TAR_DIRECTORY && n.born < p->from)
      rc = anchor(p, node, &n);
  }
  return rc;
}

int32_t ims_squash_plan_make(ims_squash_plan *plan, const ims_alloc *alloc, const ims_merged_tree *full,
                             const ims_merged_tree *below, size_t from, ims_error *err) {
  planner p = {.plan = plan, .full = full, .below = below, .from = from, .err = err};
  int32_t rc = IMGSTORE_OK;
  memset(plan, 0, sizeof *plan);
  plan->alloc = alloc;
  p.lower = ims_calloc(alloc, ims_merged_tree_size(full), sizeof *p.lower);
  if (!p.lower)
    return ims_fail_nomem(err);
  for (int32_t node = IMS_MERGED_ROOT; !rc && node != IMS_MERGED_NONE; node = following(full, node))
    rc = visit(&p, node);
  if (!rc && plan->file_count)
    qsort(plan->files, plan->file_count, sizeof *plan->files, compare_files);
  if (!rc && plan->head_count)
    qsort(plan->heads, plan->head_count, sizeof *plan->heads, compare_heads);
  if (!rc)
    rc = anchor_all(&p);
  ims_free(alloc, p.lower);
  return rc;
}

void ims_squash_plan_free(ims_squash_plan *plan) {
  if (!plan->alloc)
    return;
  ims_free(plan->alloc, plan->heads);
  ims_free(plan->alloc, plan->files);
  ims_arena_free(&plan->arena, plan->alloc);
  memset(plan, 0, sizeof *plan);
}
