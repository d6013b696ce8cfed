"""ML-DSA-44 verification from the text of FIPS 204, slow and obvious, and one forgery.

Polynomials are lists of 256 coefficients modulo Q. The matrix A is sampled in the transformed
domain, as the standard says; there is no other use of the transform here than to multiply.
"""

import hashlib

Q, N, D, K, ELL = 8_380_417, 256, 13, 4, 4
TAU, GAMMA1, GAMMA2, BETA, OMEGA = 39, 1 << 17, (8_380_417 - 1) // 88, 78, 80
Poly = list[int]
ROOT = 1_753


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Algorithms 3 and 8, with an empty context."""
    seed, packed = signature[:32], signature[32 : 32 + 576 * ELL]
    z = [[GAMMA1 - value for value in _bits(packed[576 * i : 576 * (i + 1)], 18)] for i in range(4)]
    hints = _hints(signature[32 + 576 * ELL :])
    if hints is None or max(abs(value) for poly in z for value in poly) >= GAMMA1 - BETA:
        return False
    t1 = [_bits(public[32 + 320 * i : 32 + 320 * (i + 1)], 10) for i in range(K)]
    challenge = _forward(_ball(seed))
    product = _matrix_times(public[:32], z)
    w1 = b""
    for row in range(K):
        shifted = _forward([value << D for value in t1[row]])
        less = _inverse([a * b % Q for a, b in zip(challenge, shifted, strict=True)])
        w = [(a - b) % Q for a, b in zip(product[row], less, strict=True)]
        w1 += _pack([_use_hint(hints[row][i], w[i]) for i in range(N)], 6)
    return seed == _h(_mu(public, message) + w1, 32)


def forge_under_zero_t1(public: bytes, message: bytes) -> bytes:
    """A signature without a private key: with t1 = 0, the commitment is Az and nothing else."""
    z = [[(7 * i + 13 * j) % 1_000 for i in range(N)] for j in range(ELL)]
    rows = _matrix_times(public[:32], z)
    w1 = b"".join(_pack([_use_hint(0, value) for value in row], 6) for row in rows)
    seed = _h(_mu(public, message) + w1, 32)
    packed = b"".join(_pack([GAMMA1 - value for value in poly], 18) for poly in z)
    return seed + packed + bytes(OMEGA + K)


def _h(data: bytes, size: int) -> bytes:
    return hashlib.shake_256(data).digest(size)


def _mu(public: bytes, message: bytes) -> bytes:
    return _h(_h(public, 64) + b"\x00\x00" + message, 64)


def _bits(data: bytes, width: int) -> Poly:
    whole = int.from_bytes(data, "little")
    return [whole >> (width * i) & ((1 << width) - 1) for i in range(len(data) * 8 // width)]


def _pack(values: Poly, width: int) -> bytes:
    whole = sum(value << (width * i) for i, value in enumerate(values))
    return whole.to_bytes(len(values) * width // 8, "little")


def _hints(data: bytes) -> list[Poly] | None:
    """Algorithm 21."""
    rows, at = [[0] * N for _ in range(K)], 0
    for row in range(K):
        end = data[OMEGA + row]
        if not at <= end <= OMEGA or list(data[at:end]) != sorted(set(data[at:end])):
            return None
        for position in data[at:end]:
            rows[row][position] = 1
        at = end
    return None if any(data[at:OMEGA]) else rows


def _ball(seed: bytes) -> Poly:
    """Algorithm 29."""
    stream = _h(seed, 1_024)
    signs, at, poly = int.from_bytes(stream[:8], "little"), 8, [0] * N
    for i in range(N - TAU, N):
        while stream[at] > i:
            at += 1
        j, at = stream[at], at + 1
        poly[i], poly[j] = poly[j], (-1) ** (signs >> (i + TAU - N) & 1)
    return poly


def _matrix_times(rho: bytes, vector: list[Poly]) -> list[Poly]:
    """Az, row by row (algorithms 32 and 30)."""
    transformed = [_forward(poly) for poly in vector]
    rows = []
    for r in range(K):
        total = [0] * N
        for s in range(ELL):
            stream = hashlib.shake_128(rho + bytes([s, r])).digest(1_200)
            words = (int.from_bytes(stream[i : i + 3], "little") for i in range(0, 1_200, 3))
            entry = [word & 0x7FFFFF for word in words if word & 0x7FFFFF < Q][:N]
            total = [(t + a * b) % Q for t, a, b in zip(total, entry, transformed[s], strict=True)]
        rows.append(_inverse(total))
    return rows


def _points() -> Poly:
    """The roots at which a transformed polynomial is a list of values (§7.5)."""
    return [pow(ROOT, 2 * int(f"{i:08b}"[::-1], 2) + 1, Q) for i in range(N)]


POINTS = _points()


def _forward(poly: Poly) -> Poly:
    values = []
    for point in POINTS:
        total = 0
        for coefficient in reversed(poly):
            total = (total * point + coefficient) % Q
        values.append(total)
    return values


def _inverse(values: Poly) -> Poly:
    poly = [0] * N
    for value, point in zip(values, POINTS, strict=True):
        step, power = pow(point, -1, Q), value
        for i in range(N):
            poly[i] += power
            power = power * step % Q
    scale = pow(N, -1, Q)
    return [total * scale % Q for total in poly]


def _use_hint(hint: int, value: int) -> int:
    """Algorithms 36 and 40."""
    m, low = (Q - 1) // (2 * GAMMA2), value % (2 * GAMMA2)
    if low > GAMMA2:
        low -= 2 * GAMMA2
    if value - low == Q - 1:
        high, low = 0, low - 1
    else:
        high = (value - low) // (2 * GAMMA2)
    if not hint:
        return high
    return (high + (1 if low > 0 else -1)) % m
