/* admin_api/ctl_api.h - headgatectl's words with the API (docs/admin-api.md): what a command asks,
 * and what an answer means for whoever typed it.
 *
 * Results    codes of ctl.h. A problem (RFC 9457) is printed in words: title, detail, a line for
 * each field that is wrong, and the id of the request. 202 with a change in Location, because a
 * policy wants two people, is CTL_PROPOSED; ctl_say_proposed() has the words.
 * Again      what another changed between reading and writing (412) is read and written again.
 * Ownership  bodies are taken over; answers are the caller's to json_decref(), NULL on failure.
 * Threads    one. */
#ifndef ADMIN_API_CTL_API_H
#define ADMIN_API_CTL_API_H

#include <jansson.h>
#include <stddef.h>

#include "admin_api/ctl.h"
#include "admin_api/ctl_http.h"
#include "admin_api/ctl_out.h"

enum { CTL_ID_MAX = 24 };
#define CTL_ADMIN_BASE "/api/v1"
#define CTL_LI_BASE    "/li/v1"

/* A JSON file of up to 1 MiB; "-": what comes on stdin. */
int ctl_read_json(const char *path, json_t **out);

/* "/lines/%s": each %s is a text, percent-encoded as a whole. CTL_USAGE when it gets too long. */
int ctl_path(char out[CTL_PATH_MAX], const char *fmt, ...);
/* Adds name=value to the query; value NULL: nothing. */
int ctl_query_add(char path[CTL_PATH_MAX], const char *name, const char *value);

/* Paths are below ctl.base. */
int ctl_get(struct ctl *c, const char *path, json_t **out);
/* All items, or the first `max` of them (0: all), following cursors. */
int ctl_get_all(struct ctl *c, const char *path, size_t max, json_t **out);
int ctl_post(struct ctl *c, const char *path, json_t *body, json_t **out); /* out may be NULL */
/* A merge patch (RFC 7396) on what GET says now. */
int ctl_patch(struct ctl *c, const char *path, json_t *patch);
int ctl_delete(struct ctl *c, const char *path);

/* The value of `key` of the one whose name it is; `what` for words: "no trunk 'x'". */
int ctl_find(struct ctl *c, const char *list, const char *name, const char *key, const char *what,
             char id[CTL_ID_MAX]);
/* Any question: the answer as it came, whatever its status. CTL_OK: there is one. */
int ctl_send(struct ctl *c, const struct ctl_ask *q, struct ctl_reply *out);
/* What a status of 400 and more means: prints it, gives the code. */
int ctl_refused(const struct ctl *c, const struct ctl_reply *r);
/* What the next questions are about, for "no change 7 (change list shows them)" when it is not
 * there. */
void ctl_about(struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As a code: below 300 CTL_OK, 202 of a proposal CTL_PROPOSED, else ctl_refused(). */
int ctl_judge(struct ctl *c, const struct ctl_reply *r);

/* Items as a table or, with -o json, as an array of texts; takes `rows` over. */
int ctl_rows(const struct ctl *c, json_t *rows, const struct ctl_column *columns);
/* The same with -o json as it came. */
int ctl_rows_raw(const struct ctl *c, json_t *rows, const struct ctl_column *columns);
int ctl_item(const struct ctl *c, json_t *item, const struct ctl_column *columns);
/* GET of a list and ctl_rows(). */
int ctl_list(struct ctl *c, const char *path, size_t max, const struct ctl_column *columns);

#endif
