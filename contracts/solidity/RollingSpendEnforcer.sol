// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {RateLimiter} from "@openzeppelin/contracts/utils/RateLimiter.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";
import {ICaveatEnforcer} from "./ICaveatEnforcer.sol";

/// @title A cap on what is spent in any window of time, not in calendar ones
/// @notice A caveat for delegations that may transfer one asset and do nothing else. An amount that is
/// spent in a block of time t counts in a window of W seconds in every block before t + W, and no
/// longer in the block of time t + W: an amount leaves a window W after its block time. So no choice
/// of moments gets more than a limit through in less than its window.
///
/// Terms, packed:
///
///     20 bytes         the token; zero is the native coin
///      1 byte          how many limits follow, 1 to 8
///     32 bytes each    a limit: its window in seconds (6 bytes), base units (26 bytes)
///     20 bytes each    whom it may pay; none means anybody
///
/// The windows rise strictly. A window of 0 seconds limits a single transfer, and the widest must not
/// be 0. A window of 2^48 - 1 seconds is one that nothing ever leaves: a limit on the total.
///
/// @dev What was spent is kept by manager, delegation and terms. The manager is whoever calls, so a
/// stranger's call counts in a history of the stranger's own. The delegation is named by its hash, so
/// that each one in a chain of delegations has its own history, and one that is handed on counts in
/// that of every delegation above it. The terms stand in the key, so that two of these caveats in one
/// delegation do not share a history.
///
/// All windows of one key look into one history of running totals, kept by the rate limiter for the
/// widest: one entry a second of block time, dropped when nothing of it is in the widest window.
/// Nothing is rounded or merged beyond that, so no window is ever looser or stricter than it says. A
/// look-up is a binary search, so its cost grows with the logarithm of the entries: whoever fills a
/// window with dust doubles them for 2,100 gas more a limit.
///
/// There is no owner and no setting, and no call leaves this contract.
contract RollingSpendEnforcer is ICaveatEnforcer {
    using Checkpoints for Checkpoints.Trace208;
    using RateLimiter for RateLimiter.SlidingWindow;

    /// @notice The execution is not a single call that must succeed.
    error ModeNotAllowed(bytes32 mode);
    /// @notice The terms are none.
    error InvalidTerms();
    /// @notice The execution is not a plain transfer of the asset.
    error NotATransfer();
    /// @notice The terms do not name this payee.
    error PayeeNotAllowed(address payee);
    /// @notice The window has no room for the amount.
    error LimitExceeded(uint48 window, uint256 amount, uint256 available);

    /// @notice A delegation spent something.
    event Spent(address indexed manager, bytes32 indexed delegationHash, address payee, uint256 amount);

    uint256 private constant HEAD = 21;
    uint256 private constant MAX_LIMITS = 8;

    /// @dev A limiter has one configuration for all of its items, so each key has a limiter, with one item.
    bytes32 private constant ITEM = 0;

    mapping(address manager => mapping(bytes32 delegationHash => mapping(bytes32 terms => RateLimiter.SlidingWindow)))
        private _histories;

    /// @inheritdoc ICaveatEnforcer
    function beforeHook(
        bytes calldata terms,
        bytes calldata,
        bytes32 mode,
        bytes calldata execution,
        bytes32 delegationHash,
        address,
        address
    ) external {
        require(mode == 0, ModeNotAllowed(mode));
        (address payee, uint256 amount) = _transfer(terms, execution);
        _spend(_history(msg.sender, delegationHash, terms), terms, amount);
        emit Spent(msg.sender, delegationHash, payee, amount);
    }

    /// @notice What the delegation could spend in a single transfer now, in base units.
    function available(address manager, bytes32 delegationHash, bytes calldata terms)
        external
        view
        returns (uint256 most)
    {
        RateLimiter.SlidingWindow storage history = _history(manager, delegationHash, terms);
        (, bytes calldata limits,) = _parse(terms);
        most = type(uint256).max;
        for (uint256 i = 0; i < limits.length; i += 32) {
            (uint48 window, uint208 limit) = _limit(limits, i);
            most = Math.min(most, Math.saturatingSub(limit, _used(history, window)));
        }
    }

    /// @notice What each limit of the terms has used up now, in their order and in base units; of a
    /// limit on a single transfer that is always nothing.
    function used(address manager, bytes32 delegationHash, bytes calldata terms)
        external
        view
        returns (uint256[] memory amounts)
    {
        RateLimiter.SlidingWindow storage history = _history(manager, delegationHash, terms);
        (, bytes calldata limits,) = _parse(terms);
        amounts = new uint256[](limits.length / 32);
        for (uint256 n = 0; n < amounts.length; ++n) {
            (uint48 window,) = _limit(limits, n * 32);
            amounts[n] = _used(history, window);
        }
    }

    /// @inheritdoc ICaveatEnforcer
    function beforeAllHook(
        bytes calldata,
        bytes calldata,
        bytes32,
        bytes calldata,
        bytes32,
        address,
        address
    ) external pure {}

    /// @inheritdoc ICaveatEnforcer
    function afterHook(
        bytes calldata,
        bytes calldata,
        bytes32,
        bytes calldata,
        bytes32,
        address,
        address
    ) external pure {}

    /// @inheritdoc ICaveatEnforcer
    function afterAllHook(
        bytes calldata,
        bytes calldata,
        bytes32,
        bytes calldata,
        bytes32,
        address,
        address
    ) external pure {}

    /// @dev The terms in their parts; reverts where they are none.
    function _parse(bytes calldata terms)
        private
        pure
        returns (address token, bytes calldata limits, bytes calldata payees)
    {
        require(terms.length >= HEAD, InvalidTerms());
        token = address(bytes20(terms[:20]));
        uint256 count = uint8(terms[20]);
        uint256 end = HEAD + 32 * count;
        require(0 < count && count <= MAX_LIMITS && end <= terms.length, InvalidTerms());
        limits = terms[HEAD:end];
        payees = terms[end:];
        require(payees.length % 20 == 0, InvalidTerms());
        uint256 before;
        for (uint256 i = 0; i < limits.length; i += 32) {
            (uint48 window,) = _limit(limits, i);
            require(i == 0 || before < window, InvalidTerms());
            before = window;
        }
        require(before > 0, InvalidTerms());
    }

    /// @dev Whom the execution pays how much; reverts where it is anything but a transfer of the asset
    /// to a payee of the terms.
    function _transfer(bytes calldata terms, bytes calldata execution)
        private
        pure
        returns (address payee, uint256 amount)
    {
        (address token,, bytes calldata payees) = _parse(terms);
        (payee, amount) = token == address(0) ? _ofNative(execution) : _ofToken(token, execution);
        require(_isNamed(payee, payees), PayeeNotAllowed(payee));
    }

    /// @dev An execution is packed: target (20 bytes), value (32 bytes), call data.
    function _ofNative(bytes calldata execution) private pure returns (address payee, uint256 amount) {
        require(execution.length == 52, NotATransfer());
        return (address(bytes20(execution[:20])), uint256(bytes32(execution[20:])));
    }

    function _ofToken(address token, bytes calldata execution)
        private
        pure
        returns (address payee, uint256 amount)
    {
        require(execution.length == 52 + 68, NotATransfer());
        require(address(bytes20(execution[:20])) == token && bytes32(execution[20:52]) == 0, NotATransfer());
        require(bytes4(execution[52:56]) == IERC20.transfer.selector, NotATransfer());
        uint256 word = uint256(bytes32(execution[56:88]));
        // Tokens differ in whom they take an address for that has anything above its 20 bytes.
        require(word <= type(uint160).max, NotATransfer());
        return (address(uint160(word)), uint256(bytes32(execution[88:])));
    }

    function _isNamed(address payee, bytes calldata payees) private pure returns (bool) {
        if (payees.length == 0) return true;
        for (uint256 i = 0; i < payees.length; i += 20) {
            if (payee == address(bytes20(payees[i:i + 20]))) return true;
        }
        return false;
    }

    /// @dev Counts the amount; reverts where a limit has no room for it.
    function _spend(RateLimiter.SlidingWindow storage history, bytes calldata terms, uint256 amount) private {
        (, bytes calldata limits,) = _parse(terms);
        uint256 widest = limits.length - 32;
        for (uint256 i = 0; i < widest; i += 32) {
            (uint48 narrower, uint208 less) = _limit(limits, i);
            uint256 left = Math.saturatingSub(less, _used(history, narrower));
            require(amount <= left, LimitExceeded(narrower, amount, left));
        }
        (uint48 window, uint208 limit) = _limit(limits, widest);
        history.updateSettings(window, limit);
        if (!history.tryConsume(ITEM, amount)) {
            revert LimitExceeded(window, amount, history.available(ITEM));
        }
    }

    function _history(address manager, bytes32 delegationHash, bytes calldata terms)
        private
        view
        returns (RateLimiter.SlidingWindow storage)
    {
        return _histories[manager][delegationHash][keccak256(terms)];
    }

    /// @dev As the limiter itself does for the widest window: the total now, less what it was when the
    /// window began.
    function _used(RateLimiter.SlidingWindow storage history, uint48 window) private view returns (uint256) {
        if (window == 0) return 0;
        Checkpoints.Trace208 storage totals = history._items[ITEM];
        uint48 begin = uint48(Math.saturatingSub(Time.timestamp(), window));
        return totals.latest() - totals.upperLookupRecent(begin);
    }

    /// @dev The limit that is packed at `i`.
    function _limit(bytes calldata limits, uint256 i) private pure returns (uint48 window, uint208 limit) {
        uint256 word = uint256(bytes32(limits[i:i + 32]));
        return (uint48(word >> 208), uint208(word));
    }
}
