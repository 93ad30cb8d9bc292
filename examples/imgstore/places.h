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

/** The two places of a command. */
typedef struct places {
  place from, to;
} places;

/** Takes the first two words of the command line apart and opens what they name, with the registry options that are
 * given; how: PLACE_REPOSITORY or 0. Returns an exit status; places_close follows in any case. */
int places_open(places *p, cli *c, int how);
void places_close(places *p);

#endif
