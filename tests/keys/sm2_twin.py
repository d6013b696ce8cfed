"""SM2 and SM3 from the text of the standards, slow and obvious: GB/T 32918.2, 32918.5, 32905.

Shares nothing with `keys.suites.sm2`: affine points with None for infinity, its own SM3.
"""

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
GX = 0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7
GY = 0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0
Point = tuple[int, int] | None
BASE: Point = (GX, GY)


def add(one: Point, two: Point) -> Point:
    if one is None:
        return two
    if two is None:
        return one
    (x1, y1), (x2, y2) = one, two
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    if one == two:
        slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, P) % P
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P) % P
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def times(scalar: int, point: Point) -> Point:
    total: Point = None
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def public(d: int) -> bytes:
    """x ‖ y of dG."""
    point = times(d, BASE)
    assert point is not None
    return b"".join(value.to_bytes(32, "big") for value in point)


def z(user_id: bytes, key: bytes) -> bytes:
    """Z_A of GB/T 32918.2 §5.5."""
    length = (len(user_id) * 8).to_bytes(2, "big")
    return sm3(length + user_id + b"".join(v.to_bytes(32, "big") for v in (A, B, GX, GY)) + key)


def digest(user_id: bytes, key: bytes, message: bytes) -> int:
    """e of GB/T 32918.2 §6.1, A2."""
    return int.from_bytes(sm3(z(user_id, key) + message), "big")


def sign(d: int, k: int, user_id: bytes, message: bytes) -> bytes:
    """GB/T 32918.2 §6.1 with the random number given: r ‖ s."""
    e, point = digest(user_id, public(d), message), times(k, BASE)
    assert point is not None
    r = (e + point[0]) % N
    s = pow(1 + d, -1, N) * (k - r * d) % N
    assert r
    assert s
    assert r + k != N
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verifies(key: bytes, user_id: bytes, message: bytes, signature: bytes) -> bool:
    """GB/T 32918.2 §7.1."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    t = (r + s) % N
    if not 1 <= r < N or not 1 <= s < N or t == 0:
        return False
    q = int.from_bytes(key[:32], "big"), int.from_bytes(key[32:], "big")
    point = add(times(s, BASE), times(t, q))
    return point is not None and (digest(user_id, key, message) + point[0]) % N == r


def _left(word: int, by: int) -> int:
    by %= 32
    return (word << by | word >> (32 - by)) & 0xFFFFFFFF


def sm3(data: bytes) -> bytes:
    """GB/T 32905 §5."""
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + (8 * len(data)).to_bytes(8, "big")
    state = bytes.fromhex("7380166f4914b2b9172442d7da8a0600a96f30bc163138aae38dee4db0fb0e4e")
    for start in range(0, len(padded), 64):
        state = _compress(state, padded[start : start + 64])
    return state


def _compress(state: bytes, block: bytes) -> bytes:
    w = [int.from_bytes(block[i : i + 4], "big") for i in range(0, 64, 4)]
    for j in range(16, 68):
        word = w[j - 16] ^ w[j - 9] ^ _left(w[j - 3], 15)
        w.append(word ^ _left(word, 15) ^ _left(word, 23) ^ _left(w[j - 13], 7) ^ w[j - 6])
    a, b, c, d, e, f, g, h = (int.from_bytes(state[i : i + 4], "big") for i in range(0, 32, 4))
    for j in range(64):
        constant = 0x79CC4519 if j < 16 else 0x7A879D8A
        ss1 = _left((_left(a, 12) + e + _left(constant, j)) & 0xFFFFFFFF, 7)
        ff = a ^ b ^ c if j < 16 else (a & b) | (a & c) | (b & c)
        gg = e ^ f ^ g if j < 16 else (e & f) | (~e & g)
        tt1 = (ff + d + (ss1 ^ _left(a, 12)) + (w[j] ^ w[j + 4])) & 0xFFFFFFFF
        tt2 = (gg + h + ss1 + w[j]) & 0xFFFFFFFF
        a, b, c, d = tt1, a, _left(b, 9), c
        e, f, g, h = tt2 ^ _left(tt2, 9) ^ _left(tt2, 17), e, _left(f, 19), g
    after = b"".join(word.to_bytes(4, "big") for word in (a, b, c, d, e, f, g, h))
    return bytes(one ^ two for one, two in zip(state, after, strict=True))
