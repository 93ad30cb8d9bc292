/*
 * api/builder.c (L5) - include/imgstore/builder.h.
 */
#include "imgstore/builder.h"

#include "api/options.h"
#include "api/result.h"
#include "engine/build.h"

static const imgstore_build_options defaults = {.size = sizeof(imgstore_build_options)};

int32_t imgstore_build_options_init(imgstore_build_options *options, size_t size) {
  return ims_options_init(options, size, &defaults, sizeof defaults);
}

static int32_t result(imgstore_builder *builder, int32_t rc, const ims_error *err, imgstore_error **error) {
  return ims_api_result(rc, err, &builder->core->alloc, error);
}

static int32_t no_builder(imgstore_error **error) {
  return ims_api_invalid("builder is NULL", NULL, error);
}

int32_t imgstore_builder_new(imgstore_store *store, imgstore_image *base, imgstore_builder **builder,
                             imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (builder)
    *builder = NULL;
  if (!store || !builder)
    return ims_api_invalid("store and builder are required", NULL, error);
  return ims_api_result(ims_builder_new(builder, store, base, &err), &err, &store->core->alloc, error);
}

void imgstore_builder_free(imgstore_builder *builder) {
  ims_builder_unref(builder);
}

int32_t imgstore_builder_set_text(imgstore_builder *builder, int32_t field, const char *text, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!builder)
    return no_builder(error);
  return result(builder, ims_builder_set_text(builder, field, text, &err), &err, error);
}

int32_t imgstore_builder_set_platform(imgstore_builder *builder, const char *platform, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!builder || !platform)
    return ims_api_invalid("builder and platform are required", NULL, error);
  return result(builder, ims_builder_set_platform(builder, platform, &err), &err, error);
}

int32_t imgstore_builder_set_list(imgstore_builder *builder, int32_t list, const char *const *items, size_t count,
                                  imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!builder || (count && !items))
    return ims_api_invalid("builder and items are required", NULL, error);
  return result(builder, ims_builder_set_list(builder, list, items, count, &err), &err, error);
}

int32_t imgstore_builder_set_item(imgstore_builder *builder, int32_t list, const char *key, const char *value,
                                  imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!builder || !key)
    return ims_api_invalid("builder and key are required", NULL, error);
  return result(builder, ims_builder_set_item(builder, list, key, value, &err), &err, error);
}

int32_t imgstore_builder_set_annotation(imgstore_builder *builder, const char *key, const char *value,
                                        imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!builder || !key)
    return ims_api_invalid("builder and key are required", NULL, error);
  return result(builder, ims_builder_set_annotation(builder, key, value, &err), &err, error);
}

int32_t imgstore_builder_set_healthcheck(imgstore_builder *builder, const char *const *test, size_t count,
                                         uint64_t interval, uint64_t timeout, uint64_t start_period, uint32_t retries,
                                         imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!builder || (count && !test))
    return ims_api_invalid("builder and test are required", NULL, error);
  ims_healthcheck h = {.interval = interval, .timeout = timeout, .start_period = start_period, .retries = retries};
  ims_pair *words = ims_calloc(&builder->core->alloc, count, sizeof *words);
  int32_t rc = words ? IMGSTORE_OK : ims_fail_nomem(&err);
  for (size_t i = 0; !rc && i < count; i++)
    words[i] = (ims_pair){"", test[i] ? test[i] : ""};
  h.test = (ims_list){words, count};
  if (!rc)
    rc = ims_builder_set_healthcheck(builder, &h, &err);
  ims_free(&builder->core->alloc, words);
  return result(builder, rc, &err, error);
}

int32_t imgstore_builder_set_history(imgstore_builder *builder, const char *created_by, const char *comment,
                                     imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!builder)
    return no_builder(error);
  return result(builder, ims_builder_set_history(builder, created_by, comment, &err), &err, error);
}

static int32_t add(imgstore_builder *builder, const ims_addition *addition, uint32_t known_flags,
                   imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  int32_t rc = addition->flags & ~known_flags
                   ? ims_fail(&err, IMGSTORE_EUNSUPPORTED, "unknown flags %#x", addition->flags & ~known_flags)
                   : ims_builder_add(builder, addition, &err);
  return result(builder, rc, &err, error);
}

int32_t imgstore_builder_add_tar(imgstore_builder *builder, const char *path, uint32_t flags, imgstore_error **error) {
  if (!builder || !path)
    return ims_api_invalid("builder and path are required", NULL, error);
  const ims_addition addition = {.kind = IMS_ADD_TAR, .path = path, .flags = flags};
  return add(builder, &addition, IMGSTORE_ADD_AS_IS, error);
}

int32_t imgstore_builder_add_tar_reader(imgstore_builder *builder, imgstore_tar_read_fn read, void *user_data,
                                        uint32_t flags, imgstore_error **error) {
  if (!builder || !read)
    return ims_api_invalid("builder and read are required", NULL, error);
  const ims_addition addition = {.kind = IMS_ADD_READER, .read = read, .user_data = user_data, .flags = flags};
  return add(builder, &addition, IMGSTORE_ADD_AS_IS, error);
}

int32_t imgstore_builder_add_directory(imgstore_builder *builder, const char *path, const char *prefix, uint32_t flags,
                                       imgstore_error **error) {
  if (!builder || !path)
    return ims_api_invalid("builder and path are required", NULL, error);
  const ims_addition addition = {.kind = IMS_ADD_DIRECTORY, .path = path, .prefix = prefix, .flags = flags};
  return add(builder, &addition, IMGSTORE_ADD_ROOT_OWNED, error);
}

int32_t imgstore_builder_squash(imgstore_builder *builder, uint32_t from, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!builder)
    return no_builder(error);
  return result(builder, ims_builder_squash(builder, from, &err), &err, error);
}

int32_t imgstore_builder_rebase(imgstore_builder *builder, imgstore_image *old_base, imgstore_image *new_base,
                                imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!builder || !old_base || !new_base)
    return ims_api_invalid("builder, old_base and new_base are required", NULL, error);
  return result(builder, ims_builder_rebase(builder, old_base, new_base, &err), &err, error);
}

static int32_t check_options(const imgstore_build_options *o, ims_error *err) {
  if (o->flags & ~(uint32_t)IMGSTORE_BUILD_EPOCH)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_build_options: unknown flags %#x", o->flags);
  if (o->format != IMGSTORE_FORMAT_OCI && o->format != IMGSTORE_FORMAT_DOCKER)
    return ims_fail(err, IMGSTORE_EINVALID, "format: %d is not one of IMGSTORE_FORMAT_*", o->format);
  if (o->compression < IMGSTORE_COMPRESS_GZIP || o->compression > IMGSTORE_COMPRESS_NONE)
    return ims_fail(err, IMGSTORE_EINVALID, "compression: %d is not one of IMGSTORE_COMPRESS_*", o->compression);
  return IMGSTORE_OK;
}

int32_t imgstore_builder_finish_start(imgstore_builder *builder, const char *name,
                                      const imgstore_build_options *options, imgstore_operation **operation,
                                      imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_build_options own = defaults;
  if (operation)
    *operation = NULL;
  if (!builder || !operation)
    return ims_api_invalid("builder and operation are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_build_options", &err);
  if (!rc)
    rc = check_options(&own, &err);
  if (!rc)
    rc = ims_builder_finish_start(operation, builder, name, &own, &err);
  return result(builder, rc, &err, error);
}

int32_t imgstore_builder_finish(imgstore_builder *builder, const char *name, const imgstore_build_options *options,
                                imgstore_image **image, imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  if (image)
    *image = NULL;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_builder_finish_start(builder, name, options, &op, error);
  if (rc)
    return rc;
  return ims_api_finish(op, image, report, error);
}
