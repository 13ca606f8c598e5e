//! The constants of the recommendation, as its tables print them.

/// Table 11/G.722, H0 to H23: the taps of both filter banks, times 2^13.
pub const H: [i16; 24] = [
    3, -11, -11, 53, 12, -156, 32, 362, -210, -805, 951, 3876, //
    3876, 951, -805, -210, 362, 32, -156, 12, 53, -11, -11, 3,
];

/// Table 14/G.722, Q6(1) to Q6(29): the ends of the lower band's intervals.
pub const Q6: [i16; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219,
    1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];

/// Table 14/G.722, QQ6(1) to QQ6(30): the values of the lower band's intervals, by six bits.
pub const QQ6: [i16; 30] = [
    17, 54, 91, 130, 170, 211, 254, 300, 347, 396, 447, 501, 558, 618, 682, 750, 822, 899, 982, 1072, 1170,
    1279, 1399, 1535, 1689, 1873, 2088, 2376, 2738, 3101,
];

/// Table 14/G.722, QQ4 by IL4: the same by the upper four bits.
pub const QQ4: [i16; 8] = [0, 150, 323, 530, 786, 1121, 1612, 2557];

/// Table 14/G.722, WL by IL4: changes of the lower band's scale.
pub const WL: [i16; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];

/// Table 14/G.722, Q2: the end of the higher band's first interval.
pub const Q2: i16 = 564;

/// Table 14/G.722, QQ2(1) and QQ2(2): the values of the higher band's intervals.
pub const QQ2: [i16; 2] = [202, 926];

/// Table 14/G.722, WH(1) and WH(2): changes of the higher band's scale.
pub const WH: [i16; 2] = [-214, 798];

/// Table 15/G.722, ILB: powers of two between 2^11 and 2^12, in steps of 1/32.
pub const ILB: [i16; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, //
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
