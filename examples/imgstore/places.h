/* places.h - where copy and sync read and write: docker://NAME, store:NAME, oci:DIR[:TAG], archives. */
#ifndef CLI_PLACES_H
#define CLI_PLACES_H

#include "cli.h"

typedef struct place {
  imgstore_place place; /* its name is in text */
  text name, dir;
  imgstore_reference *reference; /* of docker:// */
  imgstore_registry *registry;
  imgstore_store *layout; /* of oci: */
} place;

/** With PLACE_REPOSITORY the name is that of a repository, without a tag. */
enum { PLACE_SOURCE = 0, PLACE_DESTINATION = 1, PLACE_REPOSITORY = 2 };

/** Takes a location apart and opens it; store: opens the store of the program. Returns an exit status. */
int place_open(place *p, cli *c, const char *location, int role, const imgstore_registry_options *options);
void place_close(place *p);

#endif
