/* build_config.h - the flags of build that say what the config of the image has. */
#ifndef CLI_BUILD_CONFIG_H
#define CLI_BUILD_CONFIG_H

#include "cli.h"

extern const option_group group_build_config;

/** Sets what the command line gives, in its order. */
int32_t build_configure(cli *c, imgstore_builder *builder, imgstore_error **error);

#endif
