/* lawful_intercept/spool_int.h - what spool.c (records) and spool_segment.c (files) share. All
 * under the spool's lock. */
#ifndef LAWFUL_INTERCEPT_SPOOL_INT_H
#define LAWFUL_INTERCEPT_SPOOL_INT_H

#include <pthread.h>

#include "base/crypto.h"
#include "lawful_intercept/spool.h"

#define SPOOL_NUMBER_MAX                                                                           \
    ((uint64_t)INT64_MAX) /* no spool comes that far: such a file is not ours */

enum {
    SEGMENT_HEAD = 32,
    RECORD_HEAD = 12,
    TIME_BYTES = 8, /* sealed with the record */
    SEGMENTS_MAX = 65536,
    SEGMENT_DEFAULT = 1 << 20,
    SEGMENT_MIN = 4096,
    WORK_STEP = 4096,
    NAME_BYTES = 128,
    PATH_BYTES = 512
};

struct spool_segment {
    uint64_t first, last; /* numbers; last < first: empty */
    uint64_t bytes;
};

struct spool_file { /* a file with its key */
    int fd;         /* -1: none */
    uint64_t first, at;
    struct secret key;
};

struct spool {
    pthread_mutex_t lock;
    char folder[PATH_BYTES - 64], name[NAME_BYTES];
    struct secret *key;
    size_t segment_bytes;
    uint64_t max_bytes;
    spool_room_fn *make_room;
    void *arg;
    struct spool_segment *v; /* oldest first */
    size_t n, room;
    struct spool_file out, in; /* that is written, that is read */
    uint64_t confirmed;        /* number: not settled, and the peer has had it */
    uint64_t next, done, read; /* read: number of the last that was read */
    uint64_t bytes, lost;
    size_t work_bytes;
    uint8_t *work, *plain;    /* a sealed record; one that is open */
    struct spool_dirty dirty; /* fd: segments that were finished since the last sync */
    bool out_is_dirty;
};

void spool_put_be(uint8_t *p, uint64_t v, size_t n);
uint64_t spool_get_be(const uint8_t *p, size_t n);
bool spool_write_all(int fd, const void *octets, size_t n, uint64_t at);
bool spool_read_all(int fd, void *octets, size_t n, uint64_t at);
enum err spool_disk_error(void);
void spool_path_of(const struct spool *s, uint64_t first, char out[PATH_BYTES]);
MUST_CHECK enum err spool_seal(const struct spool *s, const struct secret *key, uint64_t number,
                               struct view plain, uint8_t *out);
MUST_CHECK enum err spool_unseal(const struct spool *s, const struct secret *key, uint64_t number,
                                 struct view sealed, uint8_t *out);
void spool_close_segment(struct spool_file *o);
MUST_CHECK enum err spool_open_segment(const struct spool *s, uint64_t first, int flags,
                                       struct spool_file *o);
bool spool_add_segment(struct spool *s, struct spool_segment seg);
bool spool_sync_folder(const char *folder, const char *parent);
void spool_finish_segment(struct spool *s);
MUST_CHECK enum err spool_make_segment(struct spool *s);
void spool_drop_oldest(struct spool *s);
bool spool_may_drop(const struct spool *s);
void spool_drop_delivered(struct spool *s);

#endif
