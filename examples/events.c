/*
 * events.c - the event-driven face: a pull that runs inside a poll() loop, next to whatever else a program waits for.
 *
 * Usage: example-events IMAGE [STORE]. A real program has more descriptors in the set; imgstore_operation_cancel,
 * called from its loop or from any thread, stops the pull.
 */
#include <imgstore/imgstore.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

/* Runs on the thread that steps the operation, from inside imgstore_operation_step. */
static int32_t on_event(void *user_data, const imgstore_event *event) {
  (void)user_data;
  const char *digest = event->digest ? event->digest : "";
  if (event->type == IMGSTORE_EVENT_DOWNLOADING && event->object == IMGSTORE_OBJECT_LAYER)
    printf("%.19s %" PRIu64 " of %" PRIu64 " bytes\n", digest, event->done, event->total);
  else if (event->type == IMGSTORE_EVENT_EXISTS)
    printf("%.19s is there already\n", digest);
  else if (event->type == IMGSTORE_EVENT_COMMITTED)
    printf("the name now stands for %s\n", digest);
  return 0;
}

/* Returns the result of the operation. */
static int32_t drive(imgstore_operation *operation, imgstore_error **error) {
  struct pollfd polled = {.fd = imgstore_operation_fd(operation), .events = POLLIN};
  for (;;) {
    /* Bounded work, and it never waits: the loop stays responsive. */
    int32_t rc = imgstore_operation_step(operation, 0, error);
    if (rc != IMGSTORE_EAGAIN)
      return rc;
    poll(&polled, 1, -1);
  }
}

static int32_t pull(imgstore_context *context, const char *name, const char *path, imgstore_error **error) {
  imgstore_reference *reference = NULL;
  imgstore_store *store = NULL;
  imgstore_registry *registry = NULL;
  imgstore_operation *operation = NULL;
  imgstore_pull_options options;
  imgstore_pull_options_init(&options, sizeof options);
  options.progress = on_event;

  int32_t rc = imgstore_reference_parse(context, name, &reference, error);
  if (!rc)
    rc = imgstore_store_open(context, path, NULL, &store, error);
  if (!rc)
    rc = imgstore_registry_new(context, imgstore_reference_host(reference), NULL, &registry, error);
  if (!rc)
    rc = imgstore_pull_start(store, registry, name, &options, &operation, error);
  if (!rc)
    rc = drive(operation, error);

  imgstore_operation_free(operation);
  imgstore_registry_free(registry);
  imgstore_store_close(store);
  imgstore_reference_unref(reference);
  return rc;
}

int main(int argc, char **argv) {
  imgstore_context *context = NULL;
  imgstore_error *error = NULL;
  if (argc < 2) {
    fprintf(stderr, "Usage: %s IMAGE [STORE]\n", argv[0]);
    return 2;
  }
  int32_t rc = imgstore_context_new(NULL, &context, &error);
  if (!rc)
    rc = pull(context, argv[1], argc > 2 ? argv[2] : "images", &error);
  if (rc)
    fprintf(stderr, "%s: %s\n", imgstore_error_name(rc), imgstore_error_message(error));
  imgstore_error_free(error);
  imgstore_context_free(context);
  return rc != 0;
}
