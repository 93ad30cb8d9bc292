/*
 * engine/temp_file.h (L4) - new files that nobody sees: without a name where the file system can, else under a name
 * that nobody else has.
 */
#ifndef IMS_ENGINE_TEMP_FILE_H
#define IMS_ENGINE_TEMP_FILE_H

#include "base/core.h"
#include "base/error.h"

enum { IMS_TEMP_NAME = 48 };

/** A name of a file that is not there. what: begins the message of a failure. */
int32_t ims_temp_name(char name[IMS_TEMP_NAME], const char *what, ims_error *err);
/**
 * Makes a file in the folder that dir is open for, and opens it. access: O_WRONLY or O_RDWR.
 * name: "" when it has none; it then goes with the process, however that ends.
 */
int32_t ims_temp_open(const ims_core *core, int dir, int access, mode_t mode, int *fd, char name[IMS_TEMP_NAME],
                      const char *what, ims_error *err);
/** The same in a folder, by its path, and never with a name: readable and writable, only for the caller. */
int32_t ims_temp_open_unnamed(const ims_core *core, const char *folder, int *fd, ims_error *err);

#endif
