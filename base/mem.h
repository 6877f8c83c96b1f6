/* base/mem.h - the one door to the heap, so that tests can make any allocation fail.
 * Threads: safe. mem_fail_at() and mem_live() are for single-threaded tests. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

void *mem_zalloc(size_t n);                        /* zeroed; NULL when out of memory; n > 0 */
void *mem_zalloc_array(size_t count, size_t size); /* NULL also when count * size overflows */
void *mem_resize(void *p, size_t n);               /* as realloc; NULL leaves p alive */
char *mem_strdup(const char *s);
void mem_free(void *p); /* NULL is fine */

void mem_fail_at(long nth); /* the nth allocation from now (0 = next) fails once; -1 = never */
bool mem_failed(void);      /* whether that has happened */
size_t mem_live(void);      /* blocks allocated and not freed */

#endif
