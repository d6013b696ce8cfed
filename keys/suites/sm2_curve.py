"""The recommended curve of SM2 (GB/T 32918.5-2017 = GM/T 0003.5), for public values only.

y² = x³ + ax + b over the integers modulo the prime P; the points form a group of prime order N, so
that a point on the curve is never of small order. Python's integers take time that depends on
their values: nothing secret may come here.
"""

P = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
A = P - 3
B = 0x28E9FA9E_9D9F5E34_4D5A9E4B_CF6509A7_F39789F5_15AB8F92_DDBCBD41_4D940E93
N = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
G = (
    0x32C4AE2C_1F198119_5F990446_6A39C994_8FE30BBF_F2660BE1_715A4589_334C74C7,
    0xBC3736A2_F4F6779C_59BDCEE3_6B692153_D0A9877C_C62A4740_02DF32E5_2139F0A0,
)
Point = tuple[int, int]
_Jacobian = tuple[int, int, int]  # (X, Y, Z) is the point (X/Z², Y/Z³); Z = 0 is infinity


def on_curve(x: int, y: int) -> bool:
    """Whether reduced coordinates are those of a point other than infinity."""
    return x < P and y < P and (y * y - (x * x + A) * x - B) % P == 0


def signers(e: int, r: int, s: int) -> tuple[bytes, ...]:
    """The public keys, x ‖ y, under which (r, s) signs the digest `e`: two as a rule.

    The signing equations read R = sG + (r + s)Q with r = e + R.x mod N, so that each of the two
    points R of that x gives one Q.
    """
    x, t = (r - e) % N, (r + s) % N
    square = ((x * x + A) * x + B) % P
    y = pow(square, (P + 1) // 4, P)  # a root, as P ≡ 3 modulo 4
    if not on_curve(x, y) or t == 0:
        return ()
    inverse = pow(t, -1, N)
    fixed, sign = _times(-s * inverse % N, G), _times(inverse, (x, y))
    opposite = (sign[0], -sign[1] % P, sign[2])
    sums = [_plus(fixed, part) for part in (sign, opposite)]
    return tuple(_encoded(point) for point in sums if point[2])


def _encoded(point: _Jacobian) -> bytes:
    inverse = pow(point[2], -1, P)
    square = inverse * inverse % P
    x, y = point[0] * square % P, point[1] * square * inverse % P
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _times(scalar: int, point: Point) -> _Jacobian:
    total: _Jacobian = (1, 1, 0)
    addend = (*point, 1)
    for bit in bin(scalar)[2:]:
        total = _double(total)
        if bit == "1":
            total = _plus(total, addend)
    return total


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    if z == 0:
        return point
    yy, zz = y * y % P, z * z % P
    slope, shift = 3 * (x - zz) * (x + zz) % P, 4 * x * yy % P  # as A = -3
    x3 = (slope * slope - 2 * shift) % P
    return x3, (slope * (shift - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _plus(one: _Jacobian, two: _Jacobian) -> _Jacobian:
    (x1, y1, z1), (x2, y2, z2) = one, two
    if z1 == 0:
        return two
    if z2 == 0:
        return one
    zz1, zz2 = z1 * z1 % P, z2 * z2 % P
    u1, s1 = x1 * zz2 % P, y1 * z2 * zz2 % P
    width, rise = (x2 * zz1 - u1) % P, (y2 * z1 * zz1 - s1) % P
    if width == 0:
        return (1, 1, 0) if rise else _double(one)
    square = width * width % P
    cube, shift = square * width % P, u1 * square % P
    x3 = (rise * rise - cube - 2 * shift) % P
    return x3, (rise * (shift - x3) - s1 * cube) % P, width * z1 * z2 % P
