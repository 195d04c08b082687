// Event-driven simulation of one population of spiking neurons: only spikes cost anything.
//
// A population receives, in step t, the drive
//
//     J[t] = sum over sources, places k of the window and channels c that spiked: +- 2^level W[k, c] + bias
//
// in whole multiples of a lattice unit, so every sum is exact and its order does not matter. `run` walks over the
// places (sample, y, x) of the population. For each it
//   1. lists, for every step, the rows of W whose input spiked   (`Listing`, once for all neurons of the place),
//   2. for every tile of 32 or 64 neurons, with the potentials in registers for all steps,
//      adds the listed rows                                      (`add_rows`),
//      updates the neurons and packs their spikes, one bit each  (`Neurons::step`).
//
// Spikes are kept as bit planes, [plane][sample][place][step][word of 32 channels]; plane p is worth
// +- 2^level(p) of the least value that a spike of its population can have.
//
// Weights are 16-bit where `together` rows, whichever they are, can be added without leaving 16 bits; then the sum is
// widened. The
// lanes of a 16-bit vector hold channels in the order 0, n, 1, n+1, ... (n: lanes of a 32-bit vector), so that
// its even and odd halves widen to consecutive channels; `events_lanes` tells the caller n.
//
// The file is plain C++17 with the vector extensions of GCC and Clang. It is compiled for several instruction sets
// (pyproject.toml); what differs between them is in the section "lanes".

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

// ---------------------------------------------------------------------------------------------------- lanes

#if defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VBMI2__)
#define EVENTS_AVX512 1
constexpr int kBytes = 64;
#elif defined(__AVX2__)
#define EVENTS_AVX2 1
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

using Short = int16_t __attribute__((vector_size(kBytes)));
using Int = int32_t __attribute__((vector_size(kBytes)));
using Long = int64_t __attribute__((vector_size(kBytes)));
using Real = double __attribute__((vector_size(kBytes)));

template <class V> V load(const void* p) {
    V v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class V> void store(void* p, V v) { std::memcpy(p, &v, sizeof v); }

// acc += the 16-bit lanes of `a` (minus, if negative): even ones into acc[0], odd ones into acc[1].
template <bool negative> inline void widen_add(Int* acc, Short a) {
#if defined(EVENTS_AVX512) && defined(__AVX512VNNI__)
    const int sign = negative ? -1 : 1;
    acc[0] = (Int)_mm512_dpwssd_epi32((__m512i)acc[0], (__m512i)a, _mm512_set1_epi32(sign & 0xffff));
    acc[1] = (Int)_mm512_dpwssd_epi32((__m512i)acc[1], (__m512i)a, _mm512_set1_epi32(sign * 65536));
#else
    const Int pair = (Int)a, odd = pair >> 16, even = (pair << 16) >> 16;
    acc[0] = negative ? acc[0] - even : acc[0] + even;
    acc[1] = negative ? acc[1] - odd : acc[1] + odd;
#endif
}

// The lower (half = 0) or upper lanes of `a` as doubles.
inline Real to_real(Int a, int half) {
#if defined(EVENTS_AVX512)
    return (Real)_mm512_cvtepi32_pd(half ? _mm512_extracti64x4_epi64((__m512i)a, 1) : _mm512_castsi512_si256((__m512i)a));
#elif defined(EVENTS_AVX2)
    return (Real)_mm256_cvtepi32_pd(half ? _mm256_extracti128_si256((__m256i)a, 1) : _mm256_castsi256_si128((__m256i)a));
#else
    constexpr int n = kBytes / 8;
    Real r;
    for (int i = 0; i < n; i++) r[i] = a[half * n + i];
    return r;
#endif
}

// The entry of a table, or its last one, nearest to each of the numbers x >= 0 (halves: to the even one).
inline Real look_up(const double* table, int64_t entries, Real x) {
    const Real shifted = x + 0x1p52;  // so large that its last bit is one: the addition rounds
    Long index = (Long)shifted & ((1ll << 52) - 1);
    index = index < entries - 1 ? index : Long{} + (entries - 1);
#if defined(EVENTS_AVX512)
    return (Real)_mm512_i64gather_pd((__m512i)index, table, 8);
#else
    Real r;
    for (int i = 0; i < kBytes / 8; i++) r[i] = table[index[i]];
    return r;
#endif
}

// One bit for each lane of a comparison's result, the first lane lowest.
inline uint64_t bits(Int mask) {
#if defined(EVENTS_AVX512)
    return _mm512_movepi32_mask((__m512i)mask);
#elif defined(EVENTS_AVX2)
    return (uint32_t)_mm256_movemask_ps((__m256)mask);
#else
    uint64_t b = 0;
    for (int i = 0; i < kBytes / 4; i++) b |= (uint64_t)(mask[i] & 1) << i;
    return b;
#endif
}
inline uint64_t bits(Long mask) {
#if defined(EVENTS_AVX512)
    return _mm512_movepi64_mask((__m512i)mask);
#elif defined(EVENTS_AVX2)
    return (uint32_t)_mm256_movemask_pd((__m256d)mask);
#else
    uint64_t b = 0;
    for (int i = 0; i < kBytes / 8; i++) b |= (uint64_t)(mask[i] & 1) << i;
    return b;
#endif
}

// Append row + i for every bit i that is set in `word`. Up to 32 entries beyond the new end may be overwritten.
inline uint16_t* append(uint16_t* end, uint32_t word, uint16_t row) {
#if defined(EVENTS_AVX512)
    alignas(64) static const uint16_t iota[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                                  16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
    const __m512i rows = _mm512_add_epi16(_mm512_load_si512(iota), _mm512_set1_epi16((short)row));
    _mm512_storeu_si512(end, _mm512_maskz_compress_epi16(word, rows));
    return end + __builtin_popcount(word);
#else
    for (; word; word &= word - 1) *end++ = (uint16_t)(row + __builtin_ctz(word));
    return end;
#endif
}

// ---------------------------------------------------------------------------------------------------- the layer

extern "C" {

// One bit plane of a population, seen through the window of one synaptic connection.
struct Source {
    const uint32_t* bits;            // [samples][in_h * in_w][steps][words]
    int32_t in_h, in_w, words;
    int32_t word_begin, word_end;    // channels that this connection reads, in words
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int32_t row;                     // first row of W; rows: (kx * kernel_h + ky) * 32 (word_end - word_begin) + channel
    int32_t level, negative;         // worth +- 2^level units; sources are sorted by (-level, negative)
    int32_t repeat;                  // times that a spike is listed; a power of two that `level` does not hold
};

enum Law : int32_t { kDrive = 0, kSubtract = 1, kZero = 2, kGraded = 3, kAdaptive = 4 };

struct Layer {
    int64_t first, last;             // rows of places: sample * out_h + y
    int32_t out_h, out_w, steps;
    int32_t neurons, width;          // neurons of each place that are run, a multiple of the tile, and all there are
    const Source* sources;
    int32_t source_count, rows;      // rows of a tile, without the row of zeros that follows them
    const void* weight;              // [tile][rows + 1][tile lanes]
    int32_t weight_bytes, together;  // 2 or 4; rows that are added at a time, without leaving 16 bits: 1, 2, 4 or 8
    int32_t tile;                    // neurons of a tile: 32 or 64
    Law law;
    int32_t real;                    // membrane in double (with leak and filter) instead of in lattice units
    int32_t values;                  // graded: number of values 1, 1/2, ... of a spike
    int32_t takes_back;
    const void* base;                // drive without spikes, of the membrane's type
    int64_t base_step, base_place;   // its strides, in elements; neurons are consecutive
    double unit;                     // real: quanta in a lattice unit
    double alpha, beta, threshold, quantum;  // threshold and quantum in the membrane's unit
    const double* alphas;            // alpha in each step: a primed synapse begins with less
    int32_t fresh;                   // whether this is the first block: state is written only, as from `start` and zeros
    const void* start;               // [places][width], of the membrane's type: its start; none: zeros
    void* v;                         // [samples][places][width], the first neuron that is run
    double* current;                 // the same, real only, with leak or filter: synaptic current
    void* sent;                      // sum of what was emitted, in the membrane's unit (kSubtract, kZero: in spikes)
    void* fired;                     // graded and adaptive: number of spikes
    double* rate;                    // adaptive: its own, in spikes per step
    const double* quanta;            // adaptive: the quantum at rates 0 .. 1, `entries` of them
    const double* gains;             // adaptive: weight of the newest spike in the rate, for each step
    int64_t entries;
    uint32_t* out;                   // [plane][samples][places][steps][out_words]
    int64_t out_plane;               // stride of planes
    int32_t out_words, out_word;     // words of the population, and the first one written here
    int32_t* drive;                  // kDrive: [steps][samples][places][width]
    int64_t drive_step;
    int32_t line_h, line_w;          // places of the weighted layer: out_h, out_w, or more, if it is max-pooled
    int32_t pool_h, pool_w, pool_stride_h, pool_stride_w, pool_pad_h, pool_pad_w, pool_dilation_h, pool_dilation_w;
    void* sums;                      // max-pooled: sums of drive, [samples][places][pool_h * pool_w][width]
    double* currents;                // and their synaptic currents, real only, with a filter
};

// Neurons that keep their count on a curve of their charge, on all of which every step works (`track`).
struct Tracked {
    int64_t size, neurons;           // samples * neurons, and neurons of a sample
    int64_t steps;
    const void* drive;               // [steps][size], of float or double
    int64_t drive_step;              // stride of the steps: 0, if it is constant
    int32_t drive_bytes;             // 4 or 8
    double *charge, *count;          // [size]: the state
    float* spikes;                   // [steps][size]: -1, 0 or 1
    double beta, threshold;          // of the membrane; spikes owed at which one is fired
    const double *windows, *inverse; // [steps]: steps that the charge stands for, and one over them
    const double *units, *spikes_per; // lam / quantum and 1 / lam: [neurons] if `apart`, else one for all
    int32_t apart;
    // The curve in straight pieces: f(x) = rises[k] x + offsets[k] from breaks[k - 1] on and below breaks[k].
    const double *breaks, *rises, *offsets;
    int64_t break_count;
    // Where to look for the piece of x: from first[(x - low) per_unit] on, upwards.
    double low, per_unit;
    const int32_t* first;
    int64_t cells;
};

}  // extern "C"

// ---------------------------------------------------------------------------------------------------- rows

struct Slot {
    int level;
    bool negative;
};

// Sources of one slot with the same synapses: planes of one population that are seen through one window.
struct Beam {
    const Source* source;  // the first of them
    int count, slot;
    int rows;              // of one column of the window
    int runs, columns;     // columns of the line: `runs` of them (the dilation) after each other, each of so many

    // Whether column `at` of the line lies in a window, and not between two.
    bool reads(int at) const {
        for (int kx = 0; kx < source->kernel_w; kx++)
            if ((at - kx * runs) % source->stride_w == 0) return true;
        return false;
    }

    // The column of the list at which the window of place x begins; those of its window follow.
    int column(int x) const {
        const int c = x * source->stride_w;
        return c % runs * columns + c / runs;
    }
};

// The rows that spiked in what one beam sees from a line of places: the columns of a step one after the other. So the
// window of every place is one stretch of the list, if rows are numbered from the first column of the line.
struct Line {
    std::vector<uint16_t> index;
    std::vector<int32_t> start;  // [step][column, and one more]
};

constexpr int kMostRows = 65000;    // they are numbered in 16 bits
constexpr int kMostTogether = 8;
constexpr int kTurns = 16;

// Lists the rows that spiked, for a line of places and each step, beam by beam. A spike that is worth a few units is
// listed a few times, which costs less than a slot (one level and sign) of its own.
struct Listing {
    const Layer& layer;
    std::vector<Slot> slots;
    std::vector<Beam> beams;
    int places;                          // of a line: the whole line, unless that has too many rows

    struct Word {
        const uint32_t* bits;            // at step 0
        uint16_t row;
        int16_t repeat;
    };
    std::vector<Word> words;             // of the line that is being listed
    std::vector<size_t> first_word;      // of each column, and one more

    explicit Listing(const Layer& l) : layer(l), places(l.line_w) {
        for (int i = 0; i < l.source_count; i++) {
            const Source& s = l.sources[i];
            const bool opens = slots.empty() || slots.back().level != s.level || slots.back().negative != (s.negative != 0);
            if (opens) slots.push_back({s.level, s.negative != 0});
            if (opens || s.row != l.sources[i - 1].row)
                beams.push_back({&s, 0, (int)slots.size() - 1, 32 * (s.word_end - s.word_begin) * s.kernel_h, s.dilation_w, 0});
            beams.back().count++;
        }
        while (places > 1 && most_rows() > kMostRows) places = (places + 1) / 2;
        for (Beam& beam : beams) beam.columns = columns_of(*beam.source);
    }

    int columns_of(const Source& s) const {
        const int wide = (places - 1) * s.stride_w + (s.kernel_w - 1) * s.dilation_w + 1;
        return (wide + s.dilation_w - 1) / s.dilation_w;
    }

    int64_t most_rows() const {
        int64_t most = 0;
        for (const Beam& beam : beams) most = std::max(most, (int64_t)beam.rows * beam.runs * columns_of(*beam.source));
        return most;
    }

    // The line of places (y, x), (y, x + 1), ... of a sample.
    void list_line(const Beam& beam, int64_t sample, int y, int x, Line& line) {
        const int count = beam.runs * beam.columns;
        words.clear();
        first_word.assign(1, 0);
        size_t most = 64;  // entries of a step, and what may be written in vain
        for (int c = 0; c < count; c++) {
            const int at = c / beam.columns + c % beam.columns * beam.runs;
            for (int i = 0; i < beam.count && beam.reads(at); i++)
                most += see(beam.source[i], sample, y, x * beam.source->stride_w - beam.source->pad_w + at, c * beam.rows);
            first_word.push_back(words.size());
        }
        line.start.resize((size_t)layer.steps * (count + 1));
        int32_t* start = line.start.data();
        const int stride = beam.source->words;
        size_t n = 0;
        for (int t = 0; t < layer.steps; t++) {
            if (line.index.size() < n + most) line.index.resize(2 * (n + most));
            uint16_t *begin = line.index.data(), *end = begin + n;
            const Word* w = words.data();
            for (int c = 0; c < count; c++) {
                *start++ = (int32_t)(end - begin);
                for (const Word* last = words.data() + first_word[c + 1]; w < last; w++) {
                    const uint32_t word = w->bits[(int64_t)t * stride];
                    if (w->repeat > 2 && !word) continue;  // the high digits of a sum are rare
                    for (int r = 0; r < w->repeat; r++) end = append(end, word, w->row);
                }
            }
            *start++ = (int32_t)(n = end - begin);
        }
    }

    // The words of column ix in the windows of line y; returns how many entries they can have in a step.
    size_t see(const Source& s, int64_t sample, int y, int ix, int row) {
        if (ix < 0 || ix >= s.in_w) return 0;
        const int wide = 32 * (s.word_end - s.word_begin);
        size_t most = 0;
        for (int ky = 0; ky < s.kernel_h; ky++) {
            const int iy = y * s.stride_h - s.pad_h + ky * s.dilation_h;
            if (iy < 0 || iy >= s.in_h) continue;
            const uint32_t* place = s.bits + ((sample * s.in_h + iy) * s.in_w + ix) * ((int64_t)layer.steps * s.words);
            for (int w = s.word_begin; w < s.word_end; w++)
                words.push_back({place + w, (uint16_t)(row + ky * wide + 32 * (w - s.word_begin)), (int16_t)s.repeat});
            most += (size_t)s.repeat * wide;
        }
        return most;
    }
};

// The rows of a tile that one beam adds at one place.
template <class W> struct Rows {
    const W* row;           // number 0 of the list: perhaps far before the tile, but what is listed lies within it
    int zero;               // the number of the row of zeros
    const uint16_t* index;
    const int32_t* start;   // of step 0
    int64_t stride;         // to the next step's
    int window;             // columns
    int slot;
};

// acc += (or -=) the rows index .. end of a tile, `together` at a time, which never leave 16 bits. Parts of 32-bit
// lanes: 2 * shorts.
template <int shorts, int together, bool negative>
inline void add_rows(Int* acc, const Rows<int16_t>& rows, const uint16_t* index, const uint16_t* end) {
    constexpr int lanes = kBytes / 2;
    for (; index + together <= end; index += together) {
        Short sum[shorts] = {};
        for (int e = 0; e < together; e++)
            for (int s = 0; s < shorts; s++) sum[s] += load<Short>(rows.row + ((int64_t)index[e] * shorts + s) * lanes);
        for (int s = 0; s < shorts; s++) widen_add<negative>(acc + 2 * s, sum[s]);
    }
    Short sum[shorts] = {};
    for (int e = 0; e < together - 1; e++) {  // the rest, filled up with rows of zeros: how many is hard to predict
        const int64_t i = index + e < end ? index[e] : rows.zero;
        for (int s = 0; s < shorts; s++) sum[s] += load<Short>(rows.row + (i * shorts + s) * lanes);
    }
    for (int s = 0; s < shorts; s++) widen_add<negative>(acc + 2 * s, sum[s]);
}

template <int shorts, int together, bool negative>
inline void add_rows(Int* acc, const Rows<int32_t>& rows, const uint16_t* index, const uint16_t* end) {
    constexpr int lanes = kBytes / 4, parts = 2 * shorts;
    for (; index < end; index++) {
        for (int i = 0; i < parts; i++) {
            const Int w = load<Int>(rows.row + ((int64_t)*index * parts + i) * lanes);
            acc[i] = negative ? acc[i] - w : acc[i] + w;
        }
    }
}

// ---------------------------------------------------------------------------------------------------- neurons

template <class V> struct Element;
template <> struct Element<Int> { using type = int32_t; };
template <> struct Element<Real> { using type = double; };

inline Int where(Int mask, Int a, Int b) { return mask ? a : b; }
inline Real where(Long mask, Real a, Real b) { return mask ? a : b; }

// Part i of the drive, in the membrane's unit.
inline Int arriving(const Layer&, const Int* drive, const int32_t* base, int i) {
    return drive[i] + load<Int>(base + i * (kBytes / 4));
}
inline Real arriving(const Layer& layer, const Int* drive, const double* base, int i) {
    const Real rest = load<Real>(base + i * (kBytes / 8));
    return layer.source_count ? to_real(drive[i / 2], i & 1) * layer.unit + rest : rest;
}

// The neurons of one tile at one place, their potentials in registers. V is Int (lattice units) or Real (quanta).
template <class V, Law law, int parts> struct Neurons {
    using T = typename Element<V>::type;
    static constexpr int lanes = kBytes / sizeof(T);
    const Layer& layer;
    static constexpr bool counts = law == kGraded || law == kAdaptive;  // spikes apart from their sum
    V v[parts], sent[parts], fired[parts], current[parts], rate[parts];
    const T *base, *base_begin;
    int64_t at;
    uint32_t* out;
    const bool plain;  // neither leak nor synaptic current

    Neurons(const Layer& l, int64_t place, int first)
        : layer(l), at(place * l.width + first), plain(l.alpha == 0 && l.beta == 1) {
        base_begin = (const T*)l.base + place * l.base_place + first;
        out = l.out + place * l.steps * l.out_words + l.out_word + first / 32;
        const int64_t start = place % ((int64_t)l.out_h * l.out_w) * l.width + first;
        for (int i = 0; i < parts; i++) {
            if (l.fresh) {
                v[i] = l.start ? load<V>((const T*)l.start + start + i * lanes) : V{};
                sent[i] = fired[i] = rate[i] = V{};
            } else {
                v[i] = load<V>((const T*)l.v + at + i * lanes);
                sent[i] = load<V>((const T*)l.sent + at + i * lanes);
                if (counts) fired[i] = load<V>((const T*)l.fired + at + i * lanes);
                if (law == kAdaptive) rate[i] = load<V>((const T*)l.rate + at + i * lanes);
            }
            if (sizeof(T) == 8 && !plain) current[i] = load<V>((const T*)l.current + at + i * lanes);
        }
    }

    void keep() {
        for (int i = 0; i < parts; i++) {
            store((T*)layer.v + at + i * lanes, v[i]);
            store((T*)layer.sent + at + i * lanes, sent[i]);
            if (counts) store((T*)layer.fired + at + i * lanes, fired[i]);
            if (law == kAdaptive) store((T*)layer.rate + at + i * lanes, rate[i]);
            if (sizeof(T) == 8 && !plain) store((T*)layer.current + at + i * lanes, current[i]);
        }
    }

    // Charge what arrives in step t. The order of the operations is the one of the other engines.
    void charge(const Int* drive, int t) {
        base = base_begin + t * layer.base_step;
        for (int i = 0; i < parts; i++) {
            V j = arriving(layer, drive, base, i);
            if constexpr (sizeof(T) == 8) {
                if (!plain) {
                    current[i] = current[i] * layer.alphas[t] + j * (1 - layer.alphas[t]);
                    v[i] = v[i] * layer.beta;
                    j = current[i];
                }
            }
            v[i] += j;
        }
    }

    // The same for what is left of it behind a maximum, which comes after the synapse.
    void charge_growth(const V* growth) {
        for (int i = 0; i < parts; i++) {
            if constexpr (sizeof(T) == 8)
                if (!plain) v[i] = v[i] * layer.beta;
            v[i] += growth[i];
        }
    }

    void write(int plane, int t, uint64_t word) {
        uint32_t* p = out + plane * layer.out_plane + (int64_t)t * layer.out_words;
        p[0] = (uint32_t)word;
        if (parts * lanes == 64) p[1] = (uint32_t)(word >> 32);
    }

    void step(const Int* drive, int t) {
        charge(drive, t);
        emit(t);
    }

    void emit(int t) {
        const T threshold = (T)layer.threshold, quantum = (T)layer.quantum;
        if constexpr (law == kGraded) {
            emit_values(t, quantum);
        } else if constexpr (law == kAdaptive) {
            emit_signs(t);
        } else {
            uint64_t word = 0;
            for (int i = 0; i < parts; i++) {
                const auto fire = v[i] >= threshold;
                word |= bits(fire) << (i * lanes);
                v[i] = law == kZero ? where(fire, V{}, v[i]) : v[i] - where(fire, V{} + quantum, V{});
                sent[i] += where(fire, V{} + (T)1, V{});
            }
            write(0, t, word);
        }
    }

    // A spike of the sign of v, at a quantum that grows with the neuron's own rate.
    void emit_signs(int t) {
        uint64_t plus = 0, minus = 0;
        for (int i = 0; i < parts; i++) {
            const V q = look_up(layer.quanta, layer.entries, where(rate[i] < 0, -rate[i], rate[i]) * (double)(layer.entries - 1));
            const V owed = q * layer.threshold;
            const auto up = v[i] >= owed, down = v[i] <= -owed;
            v[i] -= where(up, q, V{}) - where(down, q, V{});
            const V s = where(up, V{} + 1.0, V{}) - where(down, V{} + 1.0, V{});
            rate[i] += (s - rate[i]) * layer.gains[t];
            sent[i] += s;
            fired[i] += s * s;
            plus |= bits(up) << (i * lanes);
            minus |= bits(down) << (i * lanes);
        }
        write(0, t, plus);
        write(1, t, minus);
    }

    // The value nearest to v out of 0, +-1, +-1/2, ...; negative ones against what was sent only.
    void emit_values(int t, T quantum) {
        const int n = layer.values;
        V s[parts];
        for (int i = 0; i < parts; i++) {
            s[i] = V{};
            T value = quantum;
            for (int k = 0; k < n; k++, value /= 2) {
                const T smaller = k + 1 < n ? value / 2 : 0, midpoint = (value + smaller) / 2, growth = value - smaller;
                s[i] += where(v[i] >= midpoint, V{} + growth, V{});
                if (layer.takes_back) s[i] -= where((v[i] < -midpoint) & (sent[i] >= value), V{} + growth, V{});
            }
            v[i] -= s[i];
            sent[i] += s[i];
            fired[i] += where(s[i] != (T)0, V{} + (T)1, V{});
        }
        T value = quantum;
        for (int k = 0; k < n; k++, value /= 2) {
            uint64_t plus = 0, minus = 0;
            for (int i = 0; i < parts; i++) {
                plus |= bits(s[i] == value) << (i * lanes);
                minus |= bits(s[i] == -value) << (i * lanes);
            }
            write(k, t, plus);
            if (layer.takes_back) write(n + k, t, minus);
        }
    }
};

// kDrive: no neurons, only what would arrive.
template <class V, int parts> struct Neurons<V, kDrive, parts> {
    const Layer& layer;
    int32_t* to;
    Neurons(const Layer& l, int64_t place, int first) : layer(l), to(l.drive + place * l.width + first) {}
    void charge_growth(const V*) {}
    void emit(int) {}
    void step(const Int* drive, int t) {
        for (int i = 0; i < parts; i++) store(to + t * layer.drive_step + i * (kBytes / 4), drive[i]);
    }
    void keep() {}
};

// Max pooling of what has arrived so far: the neurons get the growth of the largest of the sums of a window.
template <class V, int parts> struct Maximum {
    using T = typename Element<V>::type;
    static constexpr int lanes = kBytes / sizeof(T);
    const Layer& layer;
    const T* base;
    int64_t at;
    V best[parts], largest[parts];

    Maximum(const Layer& l, int64_t place, int first, const std::vector<int>& window)
        : layer(l), base((const T*)l.base + first), at(place * l.pool_h * l.pool_w * l.width + first) {
        begin();
        for (int j : window)
            for (int i = 0; i < parts; i++) raise(i, load<V>((const T*)layer.sums + at + j * layer.width + i * lanes));
        for (int i = 0; i < parts; i++) best[i] = largest[i];
        begin();
    }

    void begin() {
        for (int i = 0; i < parts; i++) largest[i] = V{} + std::numeric_limits<T>::lowest();
    }
    void raise(int i, V sum) { largest[i] = where(sum > largest[i], sum, largest[i]); }

    // What arrives in step t at place j of the window.
    void add(int j, const Int* drive, int t) {
        for (int i = 0; i < parts; i++) {
            const int64_t k = at + (int64_t)j * layer.width + i * lanes;
            V x = arriving(layer, drive, base, i);
            if constexpr (sizeof(T) == 8) {
                if (layer.alpha != 0) {
                    x = load<V>(layer.currents + k) * layer.alphas[t] + x * (1 - layer.alphas[t]);
                    store(layer.currents + k, x);
                }
            }
            const V sum = load<V>((const T*)layer.sums + k) + x;
            store((T*)layer.sums + k, sum);
            raise(i, sum);
        }
    }

    void grow(V* growth) {
        for (int i = 0; i < parts; i++) {
            growth[i] = largest[i] - best[i];
            best[i] = largest[i];
        }
        begin();
    }
};

// ---------------------------------------------------------------------------------------------------- threads

extern "C" {

// Calls body(data) on each of some threads: `GOMP_parallel` of an OpenMP runtime.
using Team = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);

}  // extern "C"

// A loop whose chunks are taken by whoever is free.
template <class Body> struct Loop {
    const Body& body;
    int64_t last, chunk;
    std::atomic<int64_t> next;

    void work() {
        for (int64_t begin; (begin = next.fetch_add(chunk)) < last;) body(begin, std::min(begin + chunk, last));
    }
    static void work_on(void* loop) { ((Loop*)loop)->work(); }
};

// body(begin, end) for parts of [first, last), whose bounds are multiples of `grain` apart. On the `team` of the caller:
// between two loops its workers stay awake for a while, and would be in the way of any other threads. Without one, on
// threads that live as long as the loop.
template <class Body> void for_all(int64_t first, int64_t last, int64_t grain, int threads, Team team, const Body& body) {
    const int64_t grains = (last - first + grain - 1) / grain;
    threads = (int)std::min<int64_t>(threads, grains);
    if (threads <= 1) return body(first, last);
    Loop<Body> loop{body, last, grain * std::max<int64_t>(1, grains / (4 * threads)), {first}};
    if (team) return team(&Loop<Body>::work_on, &loop, threads, 0);
    std::vector<std::thread> others;
    for (int i = 1; i < threads; i++) others.emplace_back([&] { loop.work(); });
    loop.work();
    for (std::thread& other : others) other.join();
}

// ---------------------------------------------------------------------------------------------------- run

template <class W, int tile>
void seen_from(int x, const Layer& layer, const Listing& listing, const Line* lines, int first, std::vector<Rows<W>>& found) {
    const W* weight = (const W*)layer.weight + (size_t)(first / tile) * (layer.rows + 1) * tile;
    found.clear();
    for (size_t b = 0; b < listing.beams.size(); b++) {
        const Beam& beam = listing.beams[b];
        const int column = beam.column(x), shift = beam.source->row - column * beam.rows;
        const W* row = (const W*)((uintptr_t)weight + (intptr_t)shift * tile * (intptr_t)sizeof(W));
        found.push_back({row, layer.rows - shift, lines[b].index.data(), lines[b].start.data() + column,
                         beam.runs * beam.columns + 1, beam.source->kernel_w, beam.slot});
    }
}

// What arrives in step t from all sources.
template <class W, int shorts, int together>
__attribute__((always_inline)) inline void sum_rows(Int* drive, const std::vector<Slot>& slots, const std::vector<Rows<W>>& sources, int t) {
    constexpr int ints = 2 * shorts;
    int level = 0;
    for (const Rows<W>& rows : sources) {
        const Slot slot = slots[rows.slot];
        if (slot.level < level) for (int i = 0; i < ints; i++) drive[i] <<= level - slot.level;
        level = slot.level;
        const int32_t* start = rows.start + t * rows.stride;
        const uint16_t *from = rows.index + start[0], *to = rows.index + start[rows.window];
        if (slot.negative) add_rows<shorts, together, true>(drive, rows, from, to);
        else add_rows<shorts, together, false>(drive, rows, from, to);
    }
    if (level) for (int i = 0; i < ints; i++) drive[i] <<= level;
}

template <class W, class V, Law law, int tile, int together>
void run_tile(const Layer& layer, const std::vector<Slot>& slots, const std::vector<Rows<W>>& sources, int64_t place, int first) {
    constexpr int shorts = tile * 2 / kBytes, parts = tile * (int)sizeof(typename Element<V>::type) / kBytes;
    Neurons<V, law, parts> neurons(layer, place, first);
    for (int t = 0; t < layer.steps; t++) {
        Int drive[2 * shorts] = {};
        sum_rows<W, shorts, together>(drive, slots, sources, t);
        neurons.step(drive, t);
    }
    neurons.keep();
}

// The same behind a max pooling: `sources` of each place of the window, which are numbered in `window`.
template <class W, class V, Law law, int tile, int together>
void run_tile(const Layer& layer, const std::vector<Slot>& slots, const std::vector<std::vector<Rows<W>>>& sources,
              const std::vector<int>& window, int64_t place, int first) {
    constexpr int shorts = tile * 2 / kBytes, parts = tile * (int)sizeof(typename Element<V>::type) / kBytes;
    Neurons<V, law, parts> neurons(layer, place, first);
    Maximum<V, parts> maximum(layer, place, first, window);
    for (int t = 0; t < layer.steps; t++) {
        for (size_t k = 0; k < window.size(); k++) {
            Int drive[2 * shorts] = {};
            sum_rows<W, shorts, together>(drive, slots, sources[k], t);
            maximum.add(window[k], drive, t);
        }
        V growth[parts];
        maximum.grow(growth);
        neurons.charge_growth(growth);
        neurons.emit(t);
    }
    neurons.keep();
}

template <class W, class V, Law law, int tile, int together> void run_pooled(const Layer& layer) {
    Listing listing(layer);  // the caller has seen to it that no line is cut
    const size_t beams = listing.beams.size();
    std::vector<Line> lines(layer.pool_h * beams);
    std::vector<std::vector<Rows<W>>> sources(layer.pool_h * layer.pool_w);
    std::vector<int> window;
    for (int64_t l = layer.first; l < layer.last; l++) {
        const int top = (int)(l % layer.out_h) * layer.pool_stride_h - layer.pool_pad_h;
        for (int a = 0; a < layer.pool_h; a++) {
            const int y = top + a * layer.pool_dilation_h;
            for (size_t b = 0; b < beams && 0 <= y && y < layer.line_h; b++)
                listing.list_line(listing.beams[b], l / layer.out_h, y, 0, lines[a * beams + b]);
        }
        for (int first = 0; first < layer.neurons; first += tile)
            for (int px = 0; px < layer.out_w; px++) {
                window.clear();
                for (int j = 0; j < layer.pool_h * layer.pool_w; j++) {
                    const int a = j / layer.pool_w, y = top + a * layer.pool_dilation_h;
                    const int x = px * layer.pool_stride_w - layer.pool_pad_w + j % layer.pool_w * layer.pool_dilation_w;
                    if (y < 0 || y >= layer.line_h || x < 0 || x >= layer.line_w) continue;
                    seen_from<W, tile>(x, layer, listing, lines.data() + a * beams, first, sources[window.size()]);
                    window.push_back(j);
                }
                run_tile<W, V, law, tile, together>(layer, listing.slots, sources, window, l * layer.out_w + px, first);
            }
    }
}

template <class W, class V, Law law, int tile, int together> void run(const Layer& layer) {
    if (layer.pool_h) return run_pooled<W, V, law, tile, together>(layer);
    Listing listing(layer);
    const size_t beams = listing.beams.size();
    const int wide = listing.places, in_line = (layer.out_w + wide - 1) / wide;
    const int64_t begin = layer.first * in_line, end = layer.last * in_line;
    // Several places take turns with one tile of weights, so that it stays in the cache.
    const int64_t turns = layer.neurons > tile ? std::max(1, kTurns / wide) : 1;
    std::vector<Line> lines(turns * beams);
    std::vector<Rows<W>> sources;
    for (int64_t l0 = begin; l0 < end; l0 += turns) {
        const int64_t l1 = std::min(end, l0 + turns);
        for (int64_t l = l0; l < l1; l++)
            for (size_t b = 0; b < beams; b++)
                listing.list_line(listing.beams[b], l / in_line / layer.out_h, (int)(l / in_line % layer.out_h),
                                  (int)(l % in_line) * wide, lines[(l - l0) * beams + b]);
        for (int first = 0; first < layer.neurons; first += tile)
            for (int64_t l = l0; l < l1; l++) {
                const int x0 = (int)(l % in_line) * wide;
                for (int x = x0; x < std::min(x0 + wide, layer.out_w); x++) {
                    seen_from<W, tile>(x - x0, layer, listing, lines.data() + (l - l0) * beams, first, sources);
                    run_tile<W, V, law, tile, together>(layer, listing.slots, sources, l / in_line * layer.out_w + x, first);
                }
            }
    }
}

template <class V, Law law, int tile> void run_weights(const Layer& layer) {
    if (layer.weight_bytes == 4) run<int32_t, V, law, tile, 1>(layer);
    else if (layer.together == 8) run<int16_t, V, law, tile, 8>(layer);
    else if (layer.together == 4) run<int16_t, V, law, tile, 4>(layer);
    else run<int16_t, V, law, tile, 2>(layer);
}

template <class V, Law law> void run_tiled(const Layer& layer) {
    layer.tile == 64 ? run_weights<V, law, 64>(layer) : run_weights<V, law, 32>(layer);
}

template <class V> void run_law(const Layer& layer) {
    if (layer.law == kSubtract) run_tiled<V, kSubtract>(layer);
    else if (layer.law == kZero) run_tiled<V, kZero>(layer);
    else if (layer.law == kGraded) run_tiled<V, kGraded>(layer);
    else if (layer.law == kAdaptive) run_tiled<Real, kAdaptive>(layer);
    else run_tiled<Int, kDrive>(layer);
}

// Add one binary digit to numbers whose digits lie `plane` words apart: in a whole vector, or in the last few words.
inline void add_digit(const uint32_t* add, uint32_t* digit, int64_t plane, int count) {
    Int carry = load<Int>(add);
    for (int q = 0; q < count; q++, digit += plane) {
        const Int before = load<Int>(digit);
        store(digit, before ^ carry);
        carry &= before;
    }
}
inline void add_digits(const uint32_t* add, uint32_t* digit, int64_t plane, int count, int64_t words) {
    for (int64_t i = 0; i < words; i++) {
        uint32_t carry = add[i];
        for (int q = 0; q < count; q++) {
            uint32_t* d = digit + q * plane + i;
            const uint32_t before = *d;
            *d = before ^ carry;
            carry &= before;
        }
    }
}

// ---------------------------------------------------------------------------------------------------- curves

inline int64_t piece_of(const Tracked& a, double x) {
    const double at = (x - a.low) * a.per_unit;
    int64_t k = a.first[at > 0 ? (at < (double)(a.cells - 1) ? (int64_t)at : a.cells - 1) : 0];
    while (k < a.break_count && x >= a.breaks[k]) k++;
    return k;
}

// All steps of a tile of neurons after each other; the operations of `TrackingNeuron.step`, in its order.
template <class Drive> void track(const Tracked& a) {
    constexpr int64_t kTile = 256;
    double x[kTile], rise[kTile], offset[kTile], unit[kTile], per[kTile];
    for (int64_t begin = 0; begin < a.size; begin += kTile) {
        const int64_t n = std::min(kTile, a.size - begin);
        double *charge = a.charge + begin, *count = a.count + begin;
        for (int64_t i = 0; i < n; i++) {
            const int64_t neuron = a.apart ? (begin + i) % a.neurons : 0;
            unit[i] = a.units[neuron];
            per[i] = a.spikes_per[neuron];
        }
        for (int64_t t = 0; t < a.steps; t++) {
            const Drive* drive = (const Drive*)a.drive + t * a.drive_step + begin;
            float* spikes = a.spikes + t * a.size + begin;
            const double window = a.windows[t], inverse = a.inverse[t];
            for (int64_t i = 0; i < n; i++) {
                charge[i] = charge[i] * a.beta + (double)drive[i];
                x[i] = charge[i] * inverse * unit[i];
            }
            for (int64_t i = 0; i < n; i++) {
                const int64_t k = piece_of(a, x[i]);
                rise[i] = a.rises[k];
                offset[i] = a.offsets[k];
            }
            for (int64_t i = 0; i < n; i++) {
                const double left = count[i] * a.beta, owed = (x[i] * rise[i] + offset[i]) * (per[i] * window) - left;
                const double fired = owed >= a.threshold ? 1.0 : owed <= -a.threshold ? -1.0 : 0.0;
                spikes[i] = (float)fired;
                count[i] = left + fired;
            }
        }
    }
}

}  // namespace

extern "C" {

// Changes whenever a structure or the meaning of an argument does.
int events_version() { return 8; }

// What the caller's structures must measure.
int events_size_of_source() { return sizeof(Source); }
int events_size_of_layer() { return sizeof(Layer); }
int events_size_of_tracked() { return sizeof(Tracked); }

// Lanes of a 32-bit vector: how the channels of 16-bit weights are ordered.
int events_lanes() { return kBytes / 4; }

// Whether this processor runs what this file was compiled for.
int events_supported() {
#if defined(EVENTS_AVX512)
    return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
#elif defined(EVENTS_AVX2)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#else
    return 1;
#endif
}

void events_run(const Layer* layer, int threads, Team team) {
    for_all(layer->first, layer->last, std::max(1, kTurns / layer->out_w), threads, team, [&](int64_t begin, int64_t end) {
        Layer part = *layer;
        part.first = begin;
        part.last = end;
        part.real ? run_law<Real>(part) : run_law<Int>(part);
    });
}

// Spikes and new state of neurons on a curve.
void events_track(const Tracked* tracked) { tracked->drive_bytes == 8 ? track<double>(*tracked) : track<float>(*tracked); }

// Sums of spikes over windows, as binary numbers. `in` and `out` are bit planes, the lowest first: plane q of `out`,
// of `out_planes`, holds bit q of the sum over the window of sum_p 2^level[p] in[p].
void events_pool(const uint32_t* in, int64_t in_plane, const int32_t* level, int planes, uint32_t* out, int64_t out_plane,
                 int out_planes, int64_t samples, int in_h, int in_w, int out_h, int out_w, int kernel_h,
                 int kernel_w, int stride_h, int stride_w, int pad_h, int pad_w, int64_t words, int threads,
                 Team team) {
    constexpr int lanes = kBytes / 4;
    const auto sum_row = [&](int64_t b, int y) {
        for (int x = 0; x < out_w; x++) {
            uint32_t* sum = out + ((b * out_h + y) * out_w + x) * words;
            for (int q = 0; q < out_planes; q++) std::fill_n(sum + q * out_plane, words, 0u);
            for (int ky = 0; ky < kernel_h; ky++) for (int kx = 0; kx < kernel_w; kx++) {
                const int iy = y * stride_h - pad_h + ky, ix = x * stride_w - pad_w + kx;
                if (iy < 0 || iy >= in_h || ix < 0 || ix >= in_w) continue;
                for (int p = 0; p < planes; p++) {
                    const uint32_t* add = in + p * in_plane + ((b * in_h + iy) * in_w + ix) * words;
                    for (int64_t i = 0; i < words; i += lanes) {
                        uint32_t* digits = sum + level[p] * out_plane + i;
                        const int count = out_planes - level[p];
                        words - i >= lanes ? add_digit(add + i, digits, out_plane, count)
                                           : add_digits(add + i, digits, out_plane, count, words - i);
                    }
                }
            }
        }
    };
    for_all(0, samples * out_h, 1, threads, team, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) sum_row(row / out_h, (int)(row % out_h));
    });
}

// One bit plane of spikes given as numbers, [steps][places][channels]: the bits of those equal to `value`.
void events_pack(const float* spikes, int64_t steps, int64_t places, int channels, float value, uint32_t* out, int words) {
    for (int64_t t = 0; t < steps; t++) for (int64_t p = 0; p < places; p++) {
        const float* from = spikes + (t * places + p) * channels;
        uint32_t* to = out + (p * steps + t) * words;
        for (int w = 0; w < words; w++) {
            uint32_t word = 0;
            const int n = std::min(32, channels - 32 * w);
            for (int i = 0; i < n; i++) word |= (uint32_t)(from[32 * w + i] == value) << i;
            to[w] = word;
        }
    }
}

// How many bits are set.
int64_t events_count(const uint32_t* bits, int64_t words) {
    int64_t n = 0;
    for (int64_t i = 0; i < words; i++) n += __builtin_popcount(bits[i]);
    return n;
}

// Of numbers [samples][size] in the membrane's type, those of n samples: each times `unit` to `scaled` [n][size], and
// the sums over the samples, as they are. index: which samples, none: the first; scaled may be none.
void events_tally(const void* numbers, int real, const int64_t* index, int64_t n, int64_t size, double unit, float* scaled,
                  double* totals) {
    const auto tally = [&](auto* all) {
        std::fill_n(totals, size, 0.0);
        for (int64_t s = 0; s < n; s++) {
            const auto* from = all + (index ? index[s] : s) * size;
            for (int64_t i = 0; i < size; i++) totals[i] += (double)from[i];
            for (int64_t i = 0; scaled && i < size; i++) scaled[s * size + i] = (float)((double)from[i] * unit);
        }
    };
    real ? tally((const double*)numbers) : tally((const int32_t*)numbers);
}

// Take back the spikes of some samples after the first few steps of a block: those of sample index[i] from step kept[i]
// on, each worth `value`, from sums [n][places][32 words] (none: from none), and 1 each from numbers of spikes [places][32 words].
void events_take_back(const uint32_t* bits, int64_t steps, int64_t places, int words, const int64_t* index,
                      const int64_t* kept, int64_t n, float value, float* sums, double* numbers) {
    for (int64_t i = 0; i < n; i++) for (int64_t p = 0; p < places; p++) {
        const uint32_t* from = bits + (index[i] * places + p) * steps * words;
        for (int64_t k = kept[i] * words; k < steps * words; k++)
            for (uint32_t word = from[k]; word; word &= word - 1) {
                const int64_t neuron = p * 32 * words + k % words * 32 + __builtin_ctz(word);
                if (sums) sums[i * places * 32 * words + neuron] -= value;
                numbers[neuron] -= 1;
            }
    }
}

// Add `value` wherever a bit plane is set, to numbers [steps][places][channels].
void events_unpack(const uint32_t* in, int64_t steps, int64_t places, int channels, float value, float* spikes, int words) {
    for (int64_t t = 0; t < steps; t++) for (int64_t p = 0; p < places; p++) {
        float* to = spikes + (t * places + p) * channels;
        const uint32_t* from = in + (p * steps + t) * words;
        for (int c = 0; c < channels; c++) to[c] += (float)((from[c / 32] >> (c % 32)) & 1) * value;
    }
}

}  // extern "C"
