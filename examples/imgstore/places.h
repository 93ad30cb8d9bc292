/* places.h - where copy and sync read and write: docker://NAME, store:NAME, oci:DIR[:TAG]. */
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

enum { PLACE_SOURCE, PLACE_DESTINATION };

/** Takes a location apart and opens it; store: opens the store of the program. Returns an exit status. */
int place_open(place *p, cli *c, const char *location, int role, const imgstore_registry_options *options);
void place_close(place *p);

#endif
