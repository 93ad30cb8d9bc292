/*
 * readfile.c - reads one file out of a stored image without unpacking it, through all layers, links followed.
 *
 * Usage: example-readfile STORE IMAGE PATH, such as: example-readfile images alpine /etc/os-release
 */
#include <imgstore/imgstore.h>
#include <stdio.h>

enum { LARGEST = 64 << 20 };

int main(int argc, char **argv) {
  imgstore_context *context = NULL;
  imgstore_store *store = NULL;
  imgstore_store_options options;
  imgstore_image *image = NULL;
  imgstore_bytes *content = NULL;
  imgstore_error *error = NULL;
  if (argc != 4) {
    fprintf(stderr, "Usage: %s STORE IMAGE PATH\n", argv[0]);
    return 2;
  }
  imgstore_store_options_init(&options, sizeof options);
  options.flags = IMGSTORE_STORE_READ_ONLY | IMGSTORE_STORE_NO_CREATE;

  int32_t rc = imgstore_context_new(NULL, &context, &error);
  if (!rc)
    rc = imgstore_store_open(context, argv[1], &options, &store, &error);
  if (!rc)
    rc = imgstore_store_image(store, argv[2], NULL, &image, &error);
  if (!rc)
    rc = imgstore_image_read_file(image, argv[3], LARGEST, &content, &error);
  if (!rc)
    fwrite(imgstore_bytes_data(content), 1, imgstore_bytes_size(content), stdout);
  if (rc)
    fprintf(stderr, "%s\n", imgstore_error_message(error));

  imgstore_bytes_free(content);
  imgstore_image_unref(image);
  imgstore_store_close(store);
  imgstore_context_free(context);
  imgstore_error_free(error);
  return rc != 0 || fflush(stdout) != 0;
}
