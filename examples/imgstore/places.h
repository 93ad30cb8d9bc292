/* places.h - where copy and sync read and write: docker://NAME, store:NAME, oci:DIR[:TAG], archives. */
#ifndef CLI_PLACES_H
#define CLI_PLACES_H

#include "cli.h"
#include "job.h"

typedef struct place {
  imgstore_place place; /* its name is in text */
  text name, dir;
  imgstore_reference *reference; /* of docker:// */
  imgstore_registry *registry;
  imgstore_store *layout; /* of oci:, and what an archive passes through */
  int32_t format;         /* of an archive, IMGSTORE_ARCHIVE_*; 0: it is none */
  int role;
  text temporary; /* folder of the store that an archive passes through */
} place;

/** With PLACE_REPOSITORY the name is that of a repository, without a tag. */
enum { PLACE_SOURCE = 0, PLACE_DESTINATION = 1, PLACE_REPOSITORY = 2 };

/** Takes a location apart and opens it; store: opens the store of the program. Returns an exit status. */
int place_open(place *p, cli *c, const char *location, int role, const imgstore_registry_options *options);
void place_close(place *p);

/* --- place_archive.c --- */

/** FILE[:NAME] */
int place_archive_open(place *p, cli *c, const char *location, int role, int32_t format);
/** Reads a source that is an archive; nothing to do for other places. Returns an exit status. */
int place_archive_load(place *p, cli *c, job *j, progress *shown);
/** Writes a destination that is an archive, after a copy with that report and those options. Returns an exit status. */
int place_archive_save(place *p, cli *c, job *j, progress *shown, const imgstore_report *report,
                       const imgstore_copy_options *like);
void place_archive_close(place *p);

#endif
