/*
 * engine/bring_commit.c (L4) - publishing what was brought in: barrier, manifests (children first), barrier,
 * references. Until the last step nothing is visible under a name.
 */
#include <string.h>

#include "engine/bring.h"

/* Configs that came inside their descriptors; all others were transferred. */
static int32_t save_embedded(bring *b) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < b->node_count; i++) {
    const imgstore_descriptor *config = b->nodes[i]->manifest->config;
    if (config && config->data)
      rc = ims_blob_save(b->store, &config->digest, config->data, (size_t)config->size, &b->op.err);
  }
  return rc ? rc : ims_store_barrier(b->store, &b->op.err);
}

static int32_t save_manifests(bring *b) {
  for (size_t i = b->node_count; i-- > 0;) { /* a parent is always added before its children */
    const bring_node *n = b->nodes[i];
    if (n->stored)
      continue;
    int32_t rc = ims_blob_save(b->store, &n->digest, n->manifest->data, n->manifest->size, &b->op.err);
    if (rc)
      return rc;
  }
  return ims_store_barrier(b->store, &b->op.err);
}

/* A single platform is named by its own manifest, so that every reader finds complete content; its index is kept
 * beside. */
static void target_of(const bring *b, const bring_root *root, ims_target *target) {
  const bring_node *n = root->top;
  memset(target, 0, sizeof *target);
  if (!b->all_platforms && n->manifest->kind == IMGSTORE_MANIFEST_INDEX) {
    target->index = n->digest;
    n = bring_leaf(b, n); /* all indexes chose, else the job had ended */
  }
  target->digest = n->digest;
  target->size = n->size;
  memcpy(target->media_type, n->media_type, sizeof target->media_type);
}

/* True when the name already stands for just this: then all of it is durable. */
static bool is_current(bring *b, const char *name, const ims_target *target) {
  ims_target have;
  ims_error ignored = IMS_ERROR_INIT;
  return ims_ref_get(b->store, name, &have, &ignored) == IMGSTORE_OK &&
         ims_digest_equal(&have.digest, &target->digest) && strcmp(have.index.text, target->index.text) == 0;
}

static bool is_all_current(bring *b) {
  for (size_t i = 0; i < b->transfer_count; i++)
    if (atomic_load(&b->transfers[i]->phase) != IMS_TRANSFER_EXISTS)
      return false;
  for (size_t i = 0; i < b->node_count; i++)
    if (!b->nodes[i]->stored || (b->nodes[i]->manifest->config && b->nodes[i]->manifest->config->data))
      return false;
  for (size_t i = 0; i < b->root_count; i++) {
    ims_target target;
    target_of(b, &b->roots[i], &target);
    if (!is_current(b, b->roots[i].name, &target))
      return false;
  }
  return true;
}

/* What a copy came to, in the lines of a push. */
static int32_t report_copy(bring *b) {
  imgstore_report *r = b->op.report;
  ims_target target;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < b->transfer_count; i++) {
    const ims_transfer *t = b->transfers[i];
    bool present = atomic_load(&t->phase) == IMS_TRANSFER_EXISTS;
    rc = ims_report_add(r, present ? IMGSTORE_REPORT_PRESENT : IMGSTORE_REPORT_SENT, NULL, t->digest.text,
                        t->media_type, t->size, 0);
  }
  for (size_t i = 0; !rc && i < b->root_count; i++) {
    target_of(b, &b->roots[i], &target);
    rc = ims_report_add(r, IMGSTORE_REPORT_PUBLISHED, b->roots[i].name, target.digest.text, target.media_type,
                        target.size, 0);
  }
  return rc ? ims_fail_nomem(&b->op.err) : IMGSTORE_OK;
}

static int32_t set_references(bring *b) {
  for (size_t i = 0; i < b->root_count; i++) {
    const bring_root *root = &b->roots[i];
    ims_target target;
    target_of(b, root, &target);
    int32_t rc = ims_ref_set(b->store, root->name, NULL, &target, &b->op.err);
    if (!rc)
      rc = ims_operation_event(&b->op, IMGSTORE_EVENT_COMMITTED, IMGSTORE_OBJECT_MANIFEST, root->top->digest.text,
                               root->name, 0, 0);
    if (!rc && b->source && !b->copied &&
        ims_report_add(b->op.report, IMGSTORE_REPORT_TAG, root->name, root->top->digest.text, NULL, 0, 0))
      rc = ims_fail_nomem(&b->op.err);
    if (rc)
      return rc;
  }
  return b->copied ? report_copy(b) : IMGSTORE_OK;
}

int32_t bring_commit(bring *b) {
  int32_t rc;
  ims_lane_signal(&b->op.lane); /* the next stage follows at once */
  switch (b->stage) {
  case STAGE_FLUSH:
    if (!b->source && is_all_current(b))
      return b->copied ? report_copy(b) : IMGSTORE_OK;
    rc = ims_operation_event(&b->op, IMGSTORE_EVENT_FLUSHING, IMGSTORE_OBJECT_NONE, NULL, NULL, 0, 0);
    if (!rc)
      rc = save_embedded(b);
    b->stage = STAGE_MANIFESTS;
    return rc ? rc : IMGSTORE_EAGAIN;
  case STAGE_MANIFESTS:
    rc = save_manifests(b);
    b->stage = STAGE_REFERENCES;
    return rc ? rc : IMGSTORE_EAGAIN;
  default:
    return set_references(b);
  }
}
