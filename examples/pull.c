/* pull.c - pulls an image into the folder "images" and lists its layers: the shortest useful program. */
#include <imgstore/imgstore.h>
#include <stdio.h>

int main(int argc, char **argv) {
  imgstore_context *context = NULL;
  imgstore_reference *name = NULL;
  imgstore_store *store = NULL;
  imgstore_registry *registry = NULL;
  imgstore_image *image = NULL;
  imgstore_error *error = NULL;

  int32_t rc = imgstore_context_new(NULL, &context, &error);
  if (!rc)
    rc = imgstore_reference_parse(context, argc > 1 ? argv[1] : "alpine", &name, &error);
  if (!rc)
    rc = imgstore_store_open(context, "images", NULL, &store, &error);
  if (!rc)
    rc = imgstore_registry_new(context, imgstore_reference_host(name), NULL, &registry, &error);
  if (!rc)
    rc = imgstore_pull(store, registry, imgstore_reference_name(name), NULL, &image, &error);
  for (size_t i = 0; !rc && i < imgstore_image_layer_count(image); i++)
    printf("%s %llu bytes\n", imgstore_layer_digest(imgstore_image_layer(image, i)),
           (unsigned long long)imgstore_layer_size(imgstore_image_layer(image, i)));
  if (rc)
    fprintf(stderr, "%s\n", imgstore_error_message(error));

  imgstore_error_free(error);
  imgstore_image_unref(image);
  imgstore_registry_free(registry);
  imgstore_store_close(store);
  imgstore_reference_unref(name);
  imgstore_context_free(context);
  return rc != 0;
}
