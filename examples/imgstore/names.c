/* names.c - full names taken apart into what people read. */
#include <string.h>

#include "cli.h"

void familiar_free(familiar *f) {
  text_free(&f->whole);
  text_free(&f->repository);
  text_free(&f->tag);
}

/* "quay.io/a/b:1@sha256:..." without its tag and digest. */
static size_t repository_length(const char *whole) {
  const char *digest = strchr(whole, '@');
  size_t length = digest ? (size_t)(digest - whole) : strlen(whole);
  for (size_t i = length; i > 0 && whole[i - 1] != '/'; i--)
    if (whole[i - 1] == ':')
      return i - 1;
  return length;
}

void familiar_set(familiar *f, cli *c, const char *name) {
  imgstore_reference *reference = NULL;
  text_clear(&f->whole);
  text_clear(&f->repository);
  text_clear(&f->tag);
  bool full = imgstore_reference_parse(c->context, name, &reference, NULL) == IMGSTORE_OK &&
              strcmp(imgstore_reference_name(reference), name) == 0;
  if (full) {
    const char *whole = imgstore_reference_familiar(reference), *tag = imgstore_reference_tag(reference);
    text_add(&f->whole, whole);
    text_add_bytes(&f->repository, whole, repository_length(whole));
    text_add(&f->tag, tag ? tag : "<none>");
  } else {
    /* Layouts of other tools may carry a bare tag as the only name. */
    text_add(&f->whole, name);
    text_add(&f->repository, "<none>");
    text_add(&f->tag, *name ? name : "<none>");
  }
  imgstore_reference_unref(reference);
}
