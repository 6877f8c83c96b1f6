/* lawful_intercept/li_db.h - connections to PostgreSQL that cannot hang: a server that is stopped,
 * or a network that drops what we say, costs seconds and is an error like any other. Threads: any;
 * a connection belongs to one at a time. */
#ifndef LAWFUL_INTERCEPT_LI_DB_H
#define LAWFUL_INTERCEPT_LI_DB_H

#include "base/pg.h"

/* silent_ms: how long an answer may take, all of it. E_IO: why has the words. */
MUST_CHECK enum err li_db_open(const char *conninfo, unsigned silent_ms, struct pg_sync **out,
                               char *why, size_t why_bytes);

#endif
