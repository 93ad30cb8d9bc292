/*
 * transport/curl.c (L3) - the built-in transport, and the only file that sees libcurl.
 *
 * Owns: one multi handle driven by socket_action, the epoll descriptor its sockets are in, easy handles that are kept
 * for reuse. It moves bytes: redirects are not followed, nothing is decoded, no credential, cookie, netrc or
 * environment is looked at. It must not know what a registry is.
 *
 * Everything that could call back into the client happens inside perform(): start() and resume() only leave a note,
 * close() inside a callback does too.
 */
#include "transport/curl.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "transport/certs.h"
#include "transport/exchange.h"
#include "transport/failure.h"
#include "transport/response.h"

enum {
  READ_BUFFER = 256 * 1024,    /* per running transfer */
  UPLOAD_BUFFER = 256 * 1024,  /* per connection that sends */
  PERFORM_BYTES = 2048 * 1024, /* body bytes after which perform() gives the caller a turn */
  TURN_BYTES = 1024 * 1024,    /* of those, for one transfer: libcurl reads on while the socket has data */
  PERFORM_ROUNDS = 32,
  EVENTS = 16,
  MAX_CONNECTIONS = 64,
  KEEPALIVE_SECONDS = 60
};

enum { TRANSFER_NEW, TRANSFER_RUNNING, TRANSFER_DONE };

enum { AUTHORITIES_UNKNOWN = 0, AUTHORITIES_DEFAULT, AUTHORITIES_HASHED };

typedef struct curl_transport {
  ims_core *core;
  pid_t pid; /* libcurl does not survive a fork: in a child nothing of it is touched */
  CURLM *multi;
  int epoll_fd;
  int64_t deadline; /* when libcurl wants a call without an event, ms; -1: never */
  struct transfer *transfers;
  CURL **idle;
  size_t idle_count, idle_capacity;
  int authorities;  /* AUTHORITIES_*: where the system's are read from */
  bool busy;        /* inside perform() */
  bool notes;       /* start or resume left something to do */
  size_t delivered; /* body bytes, and one per other event, in this perform() */
} curl_transport;

typedef struct transfer {
  curl_transport *owner;
  struct transfer *next, *previous;
  imgstore_exchange *exchange; /* NULL once it is closed */
  ims_response response;
  CURL *easy; /* NULL when done */
  struct curl_slist *headers;
  int state;
  bool paused, resume;
  bool unwanted;     /* the client takes no more of it */
  size_t turn;       /* body bytes in this perform() */
  size_t taken;      /* bytes taken of the piece that will be offered again after a pause */
  uint64_t uploaded; /* where the next piece of the request body starts */
  char error[CURL_ERROR_SIZE];
} transfer;

/* --- process-wide start of libcurl -------------------------------------------------------------------------------- */

/* libcurl wants one call per process, and it is the host's to undo. Written once, under pthread_once. */
static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_result;

static void global_init(void) {
  global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* --- callbacks of the multi handle -------------------------------------------------------------------------------- */

/* known is set for a socket that is in the epoll set. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *known) {
  curl_transport *t = data;
  struct epoll_event event = {.data.fd = fd};
  (void)easy;
  if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
    event.events |= EPOLLIN;
  if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
    event.events |= EPOLLOUT;
  if (!event.events) {
    /* Out of the set altogether: a hang-up of a paused socket would be reported again and again. */
    if (known)
      epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, fd, &event);
    curl_multi_assign(t->multi, fd, NULL);
    return 0;
  }
  int done = epoll_ctl(t->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
  if (done < 0 && (errno == ENOENT || errno == EEXIST))
    done = epoll_ctl(t->epoll_fd, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  if (done < 0)
    return -1;
  curl_multi_assign(t->multi, fd, t);
  return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *data) {
  curl_transport *t = data;
  (void)multi;
  t->deadline = timeout_ms < 0 ? -1 : ims_now_ms() + timeout_ms;
  return 0;
}

/* --- callbacks of a transfer -------------------------------------------------------------------------------------- */

static curl_socket_t on_open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address) {
  (void)data;
  (void)purpose;
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_header(char *line, size_t size, size_t count, void *data) {
  transfer *x = data;
  if (!x->exchange || !ims_response_line(&x->response, line, size * count)) {
    x->unwanted = true;
    return 0;
  }
  x->owner->delivered++;
  return size * count;
}

/* libcurl offers a paused piece again from its first byte, perhaps together with more. */
static size_t pause_at(transfer *x, size_t taken) {
  x->taken = taken;
  x->paused = true;
  return CURL_WRITEFUNC_PAUSE;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data) {
  transfer *x = data;
  size_t total = size * count, at = x->taken < total ? x->taken : total;
  if (x->turn >= TURN_BYTES) {
    /* The others and the caller come first; the next perform() goes on. */
    x->resume = x->owner->notes = true;
    return pause_at(x, x->taken);
  }
  while (at < total) {
    size_t offered = total - at;
    size_t got = x->exchange ? imgstore_exchange_body(x->exchange, bytes + at, offered) : SIZE_MAX;
    if (got == SIZE_MAX) {
      x->unwanted = true;
      return 0;
    }
    at += got;
    x->turn += got;
    x->owner->delivered += got;
    if (got < offered)
      return pause_at(x, at);
  }
  x->taken -= x->taken < total ? x->taken : total;
  return total;
}

static size_t on_upload(char *buffer, size_t size, size_t count, void *data) {
  transfer *x = data;
  if (!x->exchange)
    return CURL_READFUNC_ABORT;
  uint64_t total = imgstore_exchange_upload_size(x->exchange);
  size_t got = imgstore_exchange_upload_read(x->exchange, x->uploaded, buffer, size * count);
  if (got == SIZE_MAX) {
    x->unwanted = true;
    return CURL_READFUNC_ABORT;
  }
  if (!got && x->uploaded < total) {
    x->paused = true;
    return CURL_READFUNC_PAUSE;
  }
  x->uploaded += got;
  x->owner->delivered += got;
  return got;
}

/* A request on a kept connection that the server had already closed is sent again. */
static int on_rewind(void *data, curl_off_t offset, int origin) {
  transfer *x = data;
  if (origin != SEEK_SET || offset < 0)
    return CURL_SEEKFUNC_FAIL;
  x->uploaded = (uint64_t)offset;
  return CURL_SEEKFUNC_OK;
}

/* --- the settings of a request ------------------------------------------------------------------------------------ */

typedef struct setup {
  CURL *easy;
  CURLcode result; /* the first failure */
} setup;

static void set_long(setup *s, CURLoption option, long value) {
  if (s->result == CURLE_OK)
    s->result = curl_easy_setopt(s->easy, option, value);
}

static void set_size(setup *s, CURLoption option, uint64_t value) {
  if (s->result == CURLE_OK)
    s->result = value > INT64_MAX ? CURLE_BAD_FUNCTION_ARGUMENT : curl_easy_setopt(s->easy, option, (curl_off_t)value);
}

/* Also for NULL, which takes a built-in default back. */
static void set_pointer(setup *s, CURLoption option, const void *value) {
  if (s->result == CURLE_OK)
    s->result = curl_easy_setopt(s->easy, option, value);
}

static void set_common(setup *s) {
  set_long(s, CURLOPT_NOSIGNAL, 1);
  set_long(s, CURLOPT_FOLLOWLOCATION, 0);
  set_long(s, CURLOPT_UNRESTRICTED_AUTH, 0);
  set_long(s, CURLOPT_NETRC, CURL_NETRC_IGNORED);
  set_long(s, CURLOPT_HTTP_CONTENT_DECODING, 0);
  set_long(s, CURLOPT_HTTP09_ALLOWED, 0);
  set_long(s, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  set_long(s, CURLOPT_PIPEWAIT, 0);
  set_long(s, CURLOPT_PATH_AS_IS, 1);
  set_long(s, CURLOPT_DISALLOW_USERNAME_IN_URL, 1);
  set_long(s, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1);
  set_long(s, CURLOPT_HEADEROPT, CURLHEADER_SEPARATE);
  set_long(s, CURLOPT_TCP_KEEPALIVE, 1);
  set_long(s, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_SECONDS);
  set_long(s, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_SECONDS);
  set_long(s, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  /* Refused where a handle still has a buffer; then that one, of the same size, serves. */
  curl_easy_setopt(s->easy, CURLOPT_BUFFERSIZE, (long)READ_BUFFER);
  curl_easy_setopt(s->easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
#if LIBCURL_VERSION_NUM >= 0x075700
  /* A transfer that is given up does not wait for a name look-up: its thread ends by itself. */
  set_long(s, CURLOPT_QUICK_EXIT, 1);
#endif
#if LIBCURL_VERSION_NUM >= 0x075500
  set_pointer(s, CURLOPT_PROTOCOLS_STR, "http,https");
#else
  set_long(s, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

static void set_callbacks(setup *s, transfer *x) {
  if (s->result == CURLE_OK)
    s->result = curl_easy_setopt(s->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
  if (s->result == CURLE_OK)
    s->result = curl_easy_setopt(s->easy, CURLOPT_HEADERFUNCTION, on_header);
  if (s->result == CURLE_OK)
    s->result = curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_body);
  if (s->result == CURLE_OK)
    s->result = curl_easy_setopt(s->easy, CURLOPT_READFUNCTION, on_upload);
  if (s->result == CURLE_OK)
    s->result = curl_easy_setopt(s->easy, CURLOPT_SEEKFUNCTION, on_rewind);
  set_pointer(s, CURLOPT_HEADERDATA, x);
  set_pointer(s, CURLOPT_WRITEDATA, x);
  set_pointer(s, CURLOPT_READDATA, x);
  set_pointer(s, CURLOPT_SEEKDATA, x);
  set_pointer(s, CURLOPT_PRIVATE, x);
  set_pointer(s, CURLOPT_ERRORBUFFER, x->error);
}

/* OpenSSL looks up the one authority it needs in a folder with hashed names, and parses all of a file (20 ms). Where
   the distribution keeps both, the folder does. */
static bool has_hashed_authorities(curl_transport *t) {
#if LIBCURL_VERSION_NUM >= 0x074600
  if (t->authorities == AUTHORITIES_UNKNOWN) {
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    bool hashed = info->age >= CURLVERSION_SEVENTH && info->capath && info->ssl_version &&
                  strncmp(info->ssl_version, "OpenSSL", 7) == 0 && ims_certs_is_hashed(info->capath);
    t->authorities = hashed ? AUTHORITIES_HASHED : AUTHORITIES_DEFAULT;
  }
#endif
  return t->authorities == AUTHORITIES_HASHED;
}

/* In place of the system's authorities: neither their file nor their folder may be asked as well. */
static int32_t set_authorities(setup *s, const transfer *x) {
  const char *path = imgstore_exchange_setting(x->exchange, IMGSTORE_EXCHANGE_CA_FILE);
  char *pem;
  size_t size;
  if (!path) {
    if (has_hashed_authorities(x->owner))
      set_pointer(s, CURLOPT_CAINFO, NULL);
    return IMGSTORE_OK;
  }
  int32_t code = ims_certs_read(x->owner->core, path, &pem, &size, NULL);
  set_pointer(s, CURLOPT_CAPATH, NULL);
  set_pointer(s, CURLOPT_CAINFO, pem ? NULL : path);
  if (pem && s->result == CURLE_OK) {
#if LIBCURL_VERSION_NUM >= 0x074d00
    struct curl_blob blob = {pem, size, CURL_BLOB_COPY};
    s->result = curl_easy_setopt(s->easy, CURLOPT_CAINFO_BLOB, &blob);
#else
    code = IMGSTORE_EUNSUPPORTED;
#endif
  }
  ims_free(&x->owner->core->alloc, pem);
  return code;
}

static void set_peer(setup *s, const imgstore_exchange *exchange) {
  const char *proxy = imgstore_exchange_setting(exchange, IMGSTORE_EXCHANGE_PROXY);
  bool secure = !imgstore_exchange_insecure_tls(exchange);
  set_pointer(s, CURLOPT_URL, imgstore_exchange_url(exchange));
  set_long(s, CURLOPT_CONNECTTIMEOUT_MS, (long)imgstore_exchange_connect_timeout(exchange));
  /* Always given, so that libcurl does not look into the environment. */
  set_pointer(s, CURLOPT_PROXY, proxy ? proxy : "");
  set_pointer(s, CURLOPT_NOPROXY, "");
  set_long(s, CURLOPT_SSL_VERIFYPEER, secure);
  set_long(s, CURLOPT_SSL_VERIFYHOST, secure ? 2 : 0);
  set_pointer(s, CURLOPT_SSLCERT, imgstore_exchange_setting(exchange, IMGSTORE_EXCHANGE_CERT_FILE));
  set_pointer(s, CURLOPT_SSLKEY, imgstore_exchange_setting(exchange, IMGSTORE_EXCHANGE_KEY_FILE));
  set_pointer(s, CURLOPT_USERAGENT, imgstore_exchange_setting(exchange, IMGSTORE_EXCHANGE_USER_AGENT));
}

static void set_method(setup *s, const imgstore_exchange *exchange) {
  const char *method = imgstore_exchange_method(exchange);
  uint64_t size = imgstore_exchange_upload_size(exchange);
  if (strcmp(method, "GET") == 0) {
    set_long(s, CURLOPT_HTTPGET, 1);
  } else if (strcmp(method, "HEAD") == 0) {
    set_long(s, CURLOPT_NOBODY, 1);
  } else if (strcmp(method, "POST") == 0) {
    set_long(s, CURLOPT_POST, 1);
    set_size(s, CURLOPT_POSTFIELDSIZE_LARGE, size);
  } else if (strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0) {
    set_long(s, CURLOPT_UPLOAD, 1);
    set_size(s, CURLOPT_INFILESIZE_LARGE, size);
    set_pointer(s, CURLOPT_CUSTOMREQUEST, method);
  } else if (strcmp(method, "DELETE") == 0) {
    set_pointer(s, CURLOPT_CUSTOMREQUEST, method);
  } else if (s->result == CURLE_OK) {
    s->result = CURLE_BAD_FUNCTION_ARGUMENT;
  }
}

static bool add_line(transfer *x, const char *line) {
  struct curl_slist *longer = curl_slist_append(x->headers, line);
  if (longer)
    x->headers = longer;
  return longer != NULL;
}

/* libcurl's notation: "Name: value", "Name;" for an empty value, "Name:" to leave one of its own out. */
static bool add_header(transfer *x, const char *name, const char *value) {
  ims_buf line;
  ims_buf_init(&line, &x->owner->core->alloc, IMS_EXCHANGE_MAX_HEADERS);
  if (*value)
    ims_buf_printf(&line, "%s: %s", name, value);
  else
    ims_buf_printf(&line, "%s;", name);
  bool added = !line.failed && add_line(x, ims_buf_text(&line));
  ims_buf_free_secret(&line);
  return added;
}

/* Request headers, and those out that libcurl would add on its own. */
static int32_t set_headers(setup *s, transfer *x) {
  static const char *const unwanted[] = {"Expect:", "Accept:", "Content-Type:"};
  size_t count = imgstore_exchange_header_count(x->exchange);
  bool given[sizeof unwanted / sizeof *unwanted] = {false};
  for (size_t i = 0; i < count; i++) {
    const char *name, *value;
    imgstore_exchange_header(x->exchange, i, &name, &value);
    if (!ims_header_is_valid(name, value))
      return IMGSTORE_EINVALID;
    if (!add_header(x, name, value))
      return IMGSTORE_ENOMEM;
    for (size_t j = 0; j < sizeof unwanted / sizeof *unwanted; j++)
      given[j] = given[j] || ims_equal_fold_n(name, strlen(name), unwanted[j], strlen(unwanted[j]) - 1);
  }
  for (size_t j = 0; j < sizeof unwanted / sizeof *unwanted; j++)
    if (!given[j] && !add_line(x, unwanted[j]))
      return IMGSTORE_ENOMEM;
  set_pointer(s, CURLOPT_HTTPHEADER, x->headers);
  return IMGSTORE_OK;
}

static int32_t set_request(transfer *x) {
  setup s = {x->easy, CURLE_OK};
  set_common(&s);
  set_callbacks(&s, x);
  set_peer(&s, x->exchange);
  set_method(&s, x->exchange);
  int32_t code = set_authorities(&s, x);
  if (code == IMGSTORE_OK)
    code = set_headers(&s, x);
  if (code == IMGSTORE_OK && s.result != CURLE_OK)
    code = s.result == CURLE_OUT_OF_MEMORY ? IMGSTORE_ENOMEM : IMGSTORE_EINVALID;
  return code;
}

/* --- transfers ---------------------------------------------------------------------------------------------------- */

static CURL *take_easy(curl_transport *t) {
  return t->idle_count ? t->idle[--t->idle_count] : curl_easy_init();
}

/* Takes a handle out of the multi handle; clean: it can serve the next request when there is room to keep it. */
static void give_easy(transfer *x, bool clean) {
  curl_transport *t = x->owner;
  if (!x->easy)
    return;
  if (x->state == TRANSFER_RUNNING)
    curl_multi_remove_handle(t->multi, x->easy);
  if (clean && t->idle_count < t->idle_capacity) {
    curl_easy_reset(x->easy);
    t->idle[t->idle_count++] = x->easy;
  } else {
    curl_easy_cleanup(x->easy);
  }
  x->easy = NULL;
}

static void free_headers(transfer *x) {
  for (struct curl_slist *line = x->headers; line; line = line->next)
    ims_wipe(line->data, strlen(line->data));
  curl_slist_free_all(x->headers);
}

/* In a forked child libcurl's part is left as it is: closing it would speak on the parent's connections. */
static void free_transfer(transfer *x) {
  curl_transport *t = x->owner;
  if (getpid() == t->pid) {
    give_easy(x, false);
    free_headers(x);
  }
  if (x->previous)
    x->previous->next = x->next;
  else
    t->transfers = x->next;
  if (x->next)
    x->next->previous = x->previous;
  ims_response_free(&x->response);
  ims_free(&t->core->alloc, x);
}

typedef struct verdict {
  int32_t code;
  bool retry;
  const char *prefix;
} verdict;

static verdict classify_tls(const char *text) {
  if (ims_failure_is_not_tls(text))
    return (verdict){IMGSTORE_EPROTOCOL, false, "not TLS: "};
  if (ims_failure_is_cut(text))
    return (verdict){IMGSTORE_ENETWORK, true, ""};
  return (verdict){IMGSTORE_ETLS, false, ""};
}

static verdict classify(CURLcode result, const char *text) {
  switch (result) {
  case CURLE_OUT_OF_MEMORY:
  case CURLE_FAILED_INIT:
    return (verdict){IMGSTORE_ENOMEM, false, ""};
  case CURLE_OPERATION_TIMEDOUT:
    return (verdict){IMGSTORE_ETIMEOUT, true, ""};
  case CURLE_WRITE_ERROR:
  case CURLE_READ_ERROR:
  case CURLE_ABORTED_BY_CALLBACK:
    return (verdict){IMGSTORE_ECANCELLED, false, ""};
  case CURLE_SSL_CONNECT_ERROR:
    return classify_tls(text);
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_CERTPROBLEM:
  case CURLE_SSL_CIPHER:
  case CURLE_SSL_CRL_BADFILE:
  case CURLE_SSL_ISSUER_ERROR:
  case CURLE_SSL_ENGINE_INITFAILED:
  case CURLE_SSL_ENGINE_NOTFOUND:
  case CURLE_SSL_ENGINE_SETFAILED:
  case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
  case CURLE_SSL_INVALIDCERTSTATUS:
  case CURLE_SSL_CLIENTCERT:
  case CURLE_USE_SSL_FAILED:
    return (verdict){IMGSTORE_ETLS, false, ""};
  case CURLE_UNSUPPORTED_PROTOCOL:
  case CURLE_URL_MALFORMAT:
  case CURLE_LOGIN_DENIED:
  case CURLE_WEIRD_SERVER_REPLY:
  case CURLE_BAD_CONTENT_ENCODING:
  case CURLE_TOO_MANY_REDIRECTS:
  case CURLE_BAD_FUNCTION_ARGUMENT:
    return (verdict){IMGSTORE_EPROTOCOL, false, ""};
  case CURLE_RECV_ERROR:
  case CURLE_SEND_ERROR:
    if (ims_failure_is_alert(text))
      return (verdict){IMGSTORE_ETLS, false, ""};
    return (verdict){IMGSTORE_ENETWORK, true, ""};
  default:
    return (verdict){IMGSTORE_ENETWORK, true, ""};
  }
}

enum { CURL_TOO_LARGE = 100 }; /* CURLE_TOO_LARGE, which libcurl has from 8.6 on */

/* libcurl has a ceiling for one header line and calls what is over it too large; older ones, out of memory. */
static bool is_line_too_long(const transfer *x, CURLcode result) {
  curl_off_t first_byte = 0;
  return ((int)result == CURL_TOO_LARGE || result == CURLE_OUT_OF_MEMORY) && x->easy &&
         x->response.state != IMS_RESPONSE_COMPLETE &&
         curl_easy_getinfo(x->easy, CURLINFO_STARTTRANSFER_TIME_T, &first_byte) == CURLE_OK && first_byte > 0;
}

/* Reports the end of an exchange. Not from a callback of libcurl. */
static void finish(transfer *x, CURLcode result) {
  imgstore_exchange *exchange = x->exchange;
  char message[sizeof exchange->done_message] = "";
  verdict v = {IMGSTORE_OK, false, ""};
  if (exchange && is_line_too_long(x, result))
    ims_exchange_fail(exchange, IMGSTORE_ELIMIT);
  give_easy(x, result == CURLE_OK);
  x->state = TRANSFER_DONE;
  x->owner->delivered++;
  if (!exchange)
    return;
  if (result != CURLE_OK) {
    v = classify(result, x->error);
    if (x->unwanted)
      v = (verdict){IMGSTORE_ECANCELLED, false, ""};
    const char *plain = curl_easy_strerror(result);
    ims_failure_message(message, sizeof message, imgstore_exchange_url(exchange), v.prefix, x->error, plain);
  }
  imgstore_exchange_done(exchange, v.code, message[0] ? message : NULL, v.retry);
}

static void link_transfer(curl_transport *t, transfer *x) {
  x->next = t->transfers;
  if (x->next)
    x->next->previous = x;
  t->transfers = x;
  t->notes = true;
}

static int32_t transport_start(void *user_data, imgstore_exchange *exchange, void **handle) {
  curl_transport *t = user_data;
  *handle = NULL;
  if (getpid() != t->pid)
    return IMGSTORE_EUNSUPPORTED;
  transfer *x = ims_calloc(&t->core->alloc, 1, sizeof *x);
  if (!x)
    return IMGSTORE_ENOMEM;
  x->owner = t;
  x->exchange = exchange;
  ims_response_init(&x->response, exchange);
  link_transfer(t, x);
  x->easy = take_easy(t);
  int32_t code = x->easy ? set_request(x) : IMGSTORE_ENOMEM;
  if (code != IMGSTORE_OK) {
    free_transfer(x);
    return code;
  }
  *handle = x;
  return IMGSTORE_OK;
}

static int32_t transport_resume(void *user_data, void *handle) {
  curl_transport *t = user_data;
  transfer *x = handle;
  if (getpid() != t->pid)
    return IMGSTORE_EUNSUPPORTED;
  x->resume = true;
  t->notes = true;
  return IMGSTORE_OK;
}

static void transport_close(void *user_data, void *handle) {
  curl_transport *t = user_data;
  transfer *x = handle;
  if (!x)
    return;
  x->exchange = NULL;
  if (!t->busy)
    free_transfer(x);
}

/* --- performing --------------------------------------------------------------------------------------------------- */

static void begin(transfer *x) {
  x->state = TRANSFER_RUNNING;
  CURLMcode result = curl_multi_add_handle(x->owner->multi, x->easy);
  if (result != CURLM_OK) {
    x->state = TRANSFER_NEW;
    finish(x, CURLE_OUT_OF_MEMORY);
  }
}

/* Offers the piece that was left over; libcurl does that inside the call. */
static void unpause(transfer *x) {
  x->paused = false;
  CURLcode result = curl_easy_pause(x->easy, CURLPAUSE_CONT);
  if (result != CURLE_OK)
    finish(x, result);
}

/* What start() and resume() left to do. Callbacks may add to the head of the list: that is for the next round. */
static void follow_notes(curl_transport *t) {
  if (!t->notes)
    return;
  t->notes = false;
  for (transfer *x = t->transfers; x; x = x->next) {
    if (!x->exchange)
      continue;
    if (x->state == TRANSFER_NEW) {
      begin(x);
    } else if (x->resume && x->turn >= TURN_BYTES) {
      t->notes = true; /* had its turn in this perform() */
    } else if (x->resume) {
      x->resume = false;
      if (x->state == TRANSFER_RUNNING && x->paused)
        unpause(x);
    }
  }
}

static void take_messages(curl_transport *t) {
  CURLMsg *message;
  int left;
  while ((message = curl_multi_info_read(t->multi, &left)) != NULL) {
    transfer *x = NULL;
    CURLcode result = message->data.result;
    if (message->msg != CURLMSG_DONE)
      continue;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x);
    finish(x, result);
  }
}

/* Milliseconds to wait: the caller's, or less when libcurl's timer is nearer. */
static int wait_time(const curl_transport *t, int32_t timeout_ms) {
  if (t->notes || t->delivered)
    return 0;
  if (t->deadline < 0)
    return timeout_ms;
  int64_t left = t->deadline - ims_now_ms();
  if (left < 0)
    left = 0;
  return timeout_ms >= 0 && left > timeout_ms ? timeout_ms : left > INT32_MAX ? INT32_MAX : (int)left;
}

static int event_bits(uint32_t events) {
  int bits = 0;
  /* An error shows itself in the next read or write. */
  if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
    bits |= CURL_CSELECT_IN;
  if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
    bits |= CURL_CSELECT_OUT;
  return bits;
}

/* One round of I/O. *more: there may be more to do at once. */
static CURLMcode serve(curl_transport *t, int32_t timeout_ms, bool *more) {
  struct epoll_event events[EVENTS];
  CURLMcode result = CURLM_OK;
  int running, count = epoll_wait(t->epoll_fd, events, EVENTS, wait_time(t, timeout_ms));
  *more = count > 0;
  for (int i = 0; i < count && result == CURLM_OK; i++)
    result = curl_multi_socket_action(t->multi, events[i].data.fd, event_bits(events[i].events), &running);
  if (result == CURLM_OK && t->deadline >= 0 && t->deadline <= ims_now_ms()) {
    t->deadline = -1;
    result = curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    *more = true;
  }
  take_messages(t);
  return result;
}

/* libcurl itself failed: nothing that runs can be trusted to end by itself. */
static void finish_all(curl_transport *t, CURLMcode result) {
  for (transfer *x = t->transfers; x; x = x->next)
    if (x->state != TRANSFER_DONE)
      finish(x, result == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_RECV_ERROR);
}

static void free_closed(curl_transport *t) {
  for (transfer *x = t->transfers, *next; x; x = next) {
    next = x->next;
    if (!x->exchange)
      free_transfer(x);
  }
}

static int32_t transport_perform(void *user_data, int32_t timeout_ms) {
  curl_transport *t = user_data;
  if (getpid() != t->pid)
    return IMGSTORE_EUNSUPPORTED;
  if (t->busy)
    return IMGSTORE_EINVALID;
  CURLMcode result = CURLM_OK;
  bool more = true;
  t->busy = true;
  t->delivered = 0;
  for (transfer *x = t->transfers; x; x = x->next)
    x->turn = 0;
  if (timeout_ms < 0)
    timeout_ms = 0;
  for (int round = 0; more && round < PERFORM_ROUNDS && t->delivered < PERFORM_BYTES && result == CURLM_OK; round++) {
    follow_notes(t);
    result = serve(t, round ? 0 : timeout_ms, &more);
  }
  if (result != CURLM_OK)
    finish_all(t, result);
  t->busy = false;
  free_closed(t);
  return IMGSTORE_OK;
}

static int32_t transport_poll_fd(void *user_data) {
  curl_transport *t = user_data;
  return t->epoll_fd;
}

static int32_t transport_timeout(void *user_data) {
  curl_transport *t = user_data;
  if (t->notes)
    return 0;
  if (t->deadline < 0)
    return -1;
  int64_t left = t->deadline - ims_now_ms();
  return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int32_t)left;
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

static void transport_destroy(void *user_data) {
  curl_transport *t = user_data;
  bool ours = getpid() == t->pid;
  while (t->transfers)
    free_transfer(t->transfers);
  while (ours && t->idle_count)
    curl_easy_cleanup(t->idle[--t->idle_count]);
  if (ours && t->multi)
    curl_multi_cleanup(t->multi);
  if (t->epoll_fd >= 0)
    close(t->epoll_fd);
  ims_core *core = t->core;
  ims_free(&core->alloc, t->idle);
  ims_free(&core->alloc, t);
  ims_core_unref(core);
}

static bool set_multi(curl_transport *t, uint32_t max_connections) {
  long connections = (long)max_connections;
  return curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
         curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t) == CURLM_OK &&
         curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
         curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t) == CURLM_OK &&
         curl_multi_setopt(t->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK &&
         /* kept open: those to the registry, and some to token server and redirect targets */
         curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, connections * 2 + 2) == CURLM_OK;
}

int32_t ims_curl_transport_open(ims_core *core, uint32_t max_connections, imgstore_transport *transport,
                                ims_error *err) {
  memset(transport, 0, sizeof *transport);
  if (!max_connections || max_connections > MAX_CONNECTIONS)
    return ims_fail(err, IMGSTORE_EINVALID, "max_connections %u is not in 1..%d", max_connections, MAX_CONNECTIONS);
  if (pthread_once(&global_once, global_init) != 0 || global_result != CURLE_OK)
    return ims_fail(err, IMGSTORE_ENOMEM, "libcurl cannot be initialised");
  curl_transport *t = ims_calloc(&core->alloc, 1, sizeof *t);
  if (!t)
    return ims_fail_nomem(err);
  t->core = ims_core_ref(core);
  t->pid = getpid();
  t->deadline = -1;
  t->idle_capacity = max_connections;
  t->idle = ims_calloc(&core->alloc, t->idle_capacity, sizeof(CURL *));
  t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  int32_t code = t->epoll_fd < 0 ? ims_fail_os(err, errno, "cannot make an epoll descriptor") : IMGSTORE_OK;
  t->multi = curl_multi_init();
  if (code == IMGSTORE_OK && (!t->idle || !t->multi || !set_multi(t, max_connections)))
    code = ims_fail_nomem(err);
  if (code != IMGSTORE_OK) {
    transport_destroy(t);
    return code;
  }
  *transport = (imgstore_transport){sizeof *transport, t,
                                    transport_start,   transport_resume,
                                    transport_perform, transport_poll_fd,
                                    transport_timeout, transport_close,
                                    transport_destroy};
  return IMGSTORE_OK;
}
