/*
 * A CUDA driver without a device: it describes a GPU of the compute capability CUDA_CAPABILITY (as in 80), keeps the
 * source of every kernel that it is given in the folder CUDA_KERNELS, copies memory, and computes nothing.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uintptr_t pointer;

/* What each function says where it has nothing to do. */
#define DONE(name) int name() { return 0; }

static int capability(void) {
    const char *text = getenv("CUDA_CAPABILITY");
    return text ? atoi(text) : 80;
}

/* Handles are addresses that nothing reads. */
static void *handle(void) { return calloc(1, 16); }

int cuDriverGetVersion(int *version) { *version = 12080; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int index) { *device = 0; return index ? 101 : 0; }
int cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "No GPU, capability %d", capability()); return 0; }
int cuDeviceGetPCIBusId(char *id, int length, int device) { snprintf(id, length, "0000:00:00.0"); return 0; }
int cuDeviceGetUuid(char *uuid, int device) { memset(uuid, 0, 16); return 0; }
int cuDeviceGetUuid_v2(char *uuid, int device) { memset(uuid, 0, 16); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)16 << 30; return 0; }
int cuMemGetInfo_v2(size_t *available, size_t *total) { *available = *total = (size_t)16 << 30; return 0; }
int cuDeviceCanAccessPeer(int *can, int device, int peer) { *can = 0; return 0; }

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    switch (attribute) {
    case 1: *value = 1024; break;                   /* threads of a block */
    case 2: case 3: *value = 1024; break;           /* their width and height */
    case 4: *value = 64; break;
    case 5: *value = 2147483647; break;             /* blocks of a grid */
    case 6: case 7: *value = 65535; break;
    case 8: *value = 49152; break;                  /* shared memory of a block */
    case 10: *value = 32; break;                    /* threads of a warp */
    case 16: *value = 108; break;                   /* multiprocessors */
    case 75: *value = capability() / 10; break;
    case 76: *value = capability() % 10; break;
    /* The most shared memory of a block that asks for it. */
    case 97: *value = capability() == 80 ? 166912 : capability() == 90 ? 232448 : 101376; break;
    default: *value = 1;
    }
    return 0;
}

int cuDevicePrimaryCtxRetain(void **context, int device) { static int one; *context = &one; return 0; }
int cuCtxGetCurrent(void **context) { return cuDevicePrimaryCtxRetain(context, 0); }
int cuCtxGetDevice(int *device) { *device = 0; return 0; }
int cuCtxGetStreamPriorityRange(int *least, int *greatest) { *least = *greatest = 0; return 0; }
int cuStreamCreate(void **stream, unsigned flags) { *stream = handle(); return 0; }
int cuStreamCreateWithPriority(void **stream, unsigned flags, int priority) { *stream = handle(); return 0; }
int cuEventCreate(void **event, unsigned flags) { *event = handle(); return 0; }
int cuEventElapsedTime(float *milliseconds, void *from, void *to) { *milliseconds = 1; return 0; }
int cuEventElapsedTime_v2(float *milliseconds, void *from, void *to) { *milliseconds = 1; return 0; }

int cuMemAlloc_v2(pointer *memory, size_t bytes) { *memory = (pointer)calloc(1, bytes + 512); return *memory ? 0 : 2; }
int cuMemAllocAsync(pointer *memory, size_t bytes, void *stream) { return cuMemAlloc_v2(memory, bytes); }
int cuMemAllocHost_v2(void **memory, size_t bytes) { return cuMemAlloc_v2((pointer *)memory, bytes); }
int cuMemFree_v2(pointer memory) { free((void *)memory); return 0; }
int cuMemFreeAsync(pointer memory, void *stream) { free((void *)memory); return 0; }
int cuMemFreeHost(void *memory) { free(memory); return 0; }
int cuMemcpyHtoDAsync_v2(pointer to, const void *from, size_t bytes, void *stream) { memcpy((void *)to, from, bytes); return 0; }
int cuMemcpyDtoHAsync_v2(void *to, pointer from, size_t bytes, void *stream) { memcpy(to, (void *)from, bytes); return 0; }
int cuMemcpyDtoDAsync_v2(pointer to, pointer from, size_t bytes, void *stream) { memmove((void *)to, (void *)from, bytes); return 0; }
int cuMemsetD8Async(pointer to, unsigned char value, size_t count, void *stream) { memset((void *)to, value, count); return 0; }

struct side { size_t x, y; int kind; void *host; pointer device; void *array; size_t pitch; };
struct copy { struct side from, to; size_t width, height; };

static char *start(const struct side *side) {
    return (char *)(side->kind == 1 ? side->host : (void *)side->device) + side->y * side->pitch + side->x;
}

int cuMemcpy2DAsync_v2(const struct copy *copy, void *stream) {
    for (size_t row = 0; row < copy->height; row++)
        memcpy(start(&copy->to) + row * copy->to.pitch, start(&copy->from) + row * copy->from.pitch, copy->width);
    return 0;
}

int cuModuleLoadData(void **module, const void *source) {
    static int count;
    char path[4096];
    snprintf(path, sizeof path, "%s/%05d.ptx", getenv("CUDA_KERNELS"), __atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST));
    FILE *file = fopen(path, "w");
    if (!file || fputs(source, file) < 0 || fclose(file)) return 301;
    *module = handle();
    return 0;
}

int cuModuleGetFunction(void **function, void *module, const char *name) { *function = handle(); return 0; }
int cuGetErrorName(int error, const char **name) { *name = "an error of the driver without a device"; return 0; }
int cuGetErrorString(int error, const char **text) { return cuGetErrorName(error, text); }

DONE(cuInit)
DONE(cuDevicePrimaryCtxRelease_v2)
DONE(cuCtxSetCurrent)
DONE(cuCtxSynchronize)
DONE(cuStreamDestroy_v2)
DONE(cuStreamQuery)
DONE(cuStreamSynchronize)
DONE(cuStreamWaitEvent)
DONE(cuEventDestroy_v2)
DONE(cuEventQuery)
DONE(cuEventRecord)
DONE(cuEventSynchronize)
DONE(cuModuleUnload)
DONE(cuFuncSetAttribute)
DONE(cuLaunchKernel)
