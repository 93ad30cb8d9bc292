/* imgstore/imgstore.h - the whole public interface of libimgstore. */
#ifndef IMGSTORE_IMGSTORE_H
#define IMGSTORE_IMGSTORE_H

#include "imgstore/archive.h"
#include "imgstore/artifact.h"
#include "imgstore/attached.h"
#include "imgstore/builder.h"
#include "imgstore/changes.h"
#include "imgstore/common.h"
#include "imgstore/context.h"
#include "imgstore/error.h"
#include "imgstore/image.h"
#include "imgstore/index.h"
#include "imgstore/layer.h"
#include "imgstore/manifest.h"
#include "imgstore/operation.h"
#include "imgstore/policy.h"
#include "imgstore/publish.h"
#include "imgstore/reference.h"
#include "imgstore/registry.h"
#include "imgstore/report.h"
#include "imgstore/rootfs.h"
#include "imgstore/rootfs_dir.h"
#include "imgstore/storage.h"
#include "imgstore/store.h"
#include "imgstore/transfer.h"
#include "imgstore/transport.h"
#include "imgstore/unpack.h"
#include "imgstore/version.h"

#endif
