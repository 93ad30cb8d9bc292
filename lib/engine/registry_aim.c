/*
 * engine/registry_aim.c (L4) - where a fetch asks: mirrors, the registry itself, a place that an answer led to, the
 * URLs of a foreign layer. It must not know what becomes of the answers.
 */
#include "base/text.h"
#include "engine/registry_fetch.h"

enum { MIRROR_RETRIES = 1 };

static int32_t endpoint_url(ims_fetch *f, const ims_endpoint *e, ims_url *url, ims_error *err) {
  imgstore_registry *r = f->client->registry;
  if (f->own_only || f->target)
    return ims_registry_url(r, e, f->target ? "/v2/" : f->path, url, err);
  ims_buf path;
  ims_buf_init(&path, &r->core->alloc, IMS_URL_MAX);
  ims_buf_printf(&path, "/v2/%s%s/%s", e->prefix, f->repository, f->path);
  int32_t rc = path.failed ? ims_fail_nomem(err) : ims_registry_url(r, e, ims_buf_text(&path), url, err);
  ims_buf_free(&path);
  return rc;
}

/* A request that goes where an answer of the registry led. */
static int32_t aim_at_target(ims_fetch *f, const ims_url *home, ims_error *err) {
  const ims_alloc *a = &f->client->registry->core->alloc;
  ims_url url;
  int32_t rc = ims_url_parse(&url, a, f->target, f->what, err);
  if (rc)
    return rc;
  rc = ims_url_permit(home, home, &url, f->what, err);
  if (!rc)
    rc = ims_call_aim(&f->call, home, &url, err);
  ims_url_free(a, &url);
  return rc;
}

static int32_t aim_at_endpoint(ims_fetch *f, ims_endpoint *e, ims_error *err) {
  const ims_alloc *a = &f->client->registry->core->alloc;
  uint32_t retries = f->client->registry->options.retries;
  ims_url url;
  int32_t rc = endpoint_url(f, e, &url, err);
  if (rc)
    return rc;
  f->endpoint = e;
  f->call.limits.retries = e->is_mirror && retries > MIRROR_RETRIES ? MIRROR_RETRIES : retries;
  rc = f->target ? aim_at_target(f, &url, err) : ims_call_aim(&f->call, &url, &url, err);
  ims_url_free(a, &url);
  return rc;
}

/* A place that a foreign layer's descriptor names: https, no credentials, nothing private. */
static int32_t aim_at_foreign(ims_fetch *f, const char *text, ims_error *err) {
  imgstore_registry *r = f->client->registry;
  const ims_alloc *a = &r->core->alloc;
  ims_url home, url;
  int32_t rc = ims_registry_url(r, r->own, "/v2/", &home, err);
  if (rc)
    return rc;
  rc = ims_url_parse(&url, a, text, f->what, err);
  if (!rc) {
    f->endpoint = NULL;
    f->call.limits.retries = r->options.retries;
    rc = url.https ? ims_url_permit(&home, &home, &url, f->what, err)
                   : ims_fail(err, IMGSTORE_EPROTOCOL, "%s: the URL of a foreign layer is not https", f->what);
    if (!rc)
      rc = ims_call_aim(&f->call, &home, &url, err);
    ims_url_free(a, &url);
  }
  ims_url_free(a, &home);
  return rc;
}

int32_t ims_fetch_aim(ims_fetch *f, ims_error *err) {
  imgstore_registry *r = f->client->registry;
  const ims_alloc *a = &r->core->alloc;
  size_t endpoints = 0;
  ims_free(a, f->scopes);
  f->scopes = NULL;
  f->demanded = f->refreshed = false;
  ims_endpoint *e = ims_registry_endpoint(r, f->step, f->by_digest, f->own_only || f->no_mirrors);
  if (e)
    return aim_at_endpoint(f, e, err);
  while (ims_registry_endpoint(r, endpoints, f->by_digest, f->own_only || f->no_mirrors))
    endpoints++;
  size_t url = f->step - endpoints;
  return f->step >= endpoints && url < f->url_count ? aim_at_foreign(f, f->urls[url], err) : IMGSTORE_ENOTFOUND;
}
